"""A run that fails, logged with the settings of `deploy/dagster.yaml`: nothing is lost on the way to JSON."""

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from neo_assets.orchestration.json_lines import JsonLines

CHECKOUT = Path(__file__).parents[2]


@dg.op
def fails() -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        logging.getLogger("neo_assets.anything").exception("a message\nof %s", "two lines")
    raise ValueError("boom")


@dg.job
def failing() -> None:
    fails()


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> tuple[list[dict[str, Any]], str]:
    """What a run that fails writes with the settings of `deploy/dagster.yaml`: lines of JSON, and text."""
    settings = yaml.safe_load((CHECKOUT / "deploy/dagster.yaml").read_text())["python_logs"]
    with (
        pytest.warns(dg.BetaWarning),
        dg.instance_for_test(temp_dir=str(tmp_path), overrides={"python_logs": settings}) as instance,
    ):
        failing.execute_in_process(instance=instance, raise_on_error=False)
    out, err = capfd.readouterr()
    return [json.loads(line) for line in out.splitlines()], re.sub(r"\x1b\[\d*m", "", err)


def test_no_event_of_a_run_is_lost(logged: tuple[list[dict[str, Any]], str]) -> None:
    """Dagster writes each as text too; Fluent Bit tells those apart by their beginning."""
    lines, text = logged
    collector = yaml.safe_load((CHECKOUT / "deploy/logs/fluent-bit.yaml").read_text())["pipeline"]
    [beginning] = [one["exclude"].removeprefix("log ") for one in collector["filters"] if one["name"] == "grep"]
    assert beginning in (CHECKOUT / "deploy/logs/fluent-bit-kubernetes.yaml").read_text()
    as_text = re.findall(rf"{beginning}\S* - (.*)", text, re.MULTILINE)
    assert [line["event"].splitlines()[0] for line in lines] == [one.partition(" - ")[2] for one in as_text]
    types = [line.get("event_type") for line in lines]
    assert {"PIPELINE_START", "STEP_START", "STEP_FAILURE", "PIPELINE_FAILURE", "RESOURCE_INIT_SUCCESS"} <= {*types}


def test_a_line_says_when_where_and_in_which_run(logged: tuple[list[dict[str, Any]], str]) -> None:
    lines, _ = logged
    assert len({line["run_id"] for line in lines}) == 1
    assert {line["job_name"] for line in lines} == {"failing"}
    for line in lines:
        at = datetime.strptime(line["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
        assert timedelta() <= datetime.now(UTC) - at < timedelta(hours=1)
    [failure] = [line for line in lines if line.get("event_type") == "STEP_FAILURE"]
    assert (failure["level"], failure["step_key"], failure["logger"]) == ("error", "fails", "dagster")
    assert "ValueError: boom" in failure["event"]


def test_a_message_of_the_package_keeps_its_traceback(logged: tuple[list[dict[str, Any]], str]) -> None:
    [ours] = [line for line in logged[0] if line["logger"] == "neo_assets.anything"]
    assert ours["event"].endswith(" - a message\nof two lines")
    assert (ours["level"], ours["step_key"]) == ("error", "fails")
    assert ours["exception"].startswith("Traceback")
    assert ours["exception"].endswith("KeyError: 'lost'")


def test_outside_of_a_run_there_is_nothing_about_one() -> None:
    record = logging.LogRecord("neo_assets", logging.INFO, "path", 1, "waits %d s", (3,), None)
    record.created = 1_767_225_600.5
    assert json.loads(JsonLines().format(record)) == {
        "timestamp": "2026-01-01T00:00:00.500000Z",
        "level": "info",
        "logger": "neo_assets",
        "event": "waits 3 s",
    }
