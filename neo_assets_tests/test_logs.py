"""Lines of JSON: of a run that fails, logged with the settings of `deploy/dagster.yaml`, and of `neo`."""

import contextlib
import contextvars
import json
import logging
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from neo_assets import logs
from neo_assets_tests.integration.harness import place

CHECKOUT = Path(__file__).parents[1]


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


@contextlib.contextmanager
def json_log() -> Iterator[None]:
    """This process logs as lines of JSON."""
    ours = logging.getLogger("neo_assets")
    before = ours.level
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logs.as_json()
        try:
            yield
        finally:
            logging.captureWarnings(False)
            ours.setLevel(before)
            [handler] = [one for one in logging.getLogger().handlers if isinstance(one, logs.JsonLog)]
            logging.getLogger().removeHandler(handler)


def run_of(capfd: pytest.CaptureFixture[str], home: Path, **tags: str) -> tuple[list[dict[str, Any]], str]:
    """What a run that fails writes with the settings of `deploy/dagster.yaml`: lines of JSON, and text."""
    settings = yaml.safe_load((CHECKOUT / "deploy/dagster.yaml").read_text())["python_logs"]
    with dg.instance_for_test(temp_dir=str(home), overrides={"python_logs": settings}) as instance:
        failing.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    err = capfd.readouterr().err.splitlines(keepends=True)
    text = "".join(line for line in err if not line.startswith('{"timestamp"'))
    lines = [json.loads(line) for line in err if line.startswith('{"timestamp"')]
    return [line for line in lines if line["logger"] != "py.warnings"], re.sub(r"\x1b\[\d*m", "", text)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> tuple[list[dict[str, Any]], str]:
    with json_log():
        return run_of(capfd, tmp_path)


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


def test_a_run_that_a_request_asked_for_has_its_id(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with json_log():
        lines, _ = run_of(capfd, tmp_path, **{logs.REQUEST_ID: "abc-1"})
    assert {line["request_id"] for line in lines} == {"abc-1"}


def test_without_json_nothing_but_text_is_written(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.warns(dg.BetaWarning):
        lines, text = run_of(capfd, tmp_path)
    assert lines == []
    assert "STEP_FAILURE" in text


def test_a_line_has_the_id_of_the_request_and_its_fields(capfd: pytest.CaptureFixture[str]) -> None:
    ours = logging.getLogger("neo_assets.of_a_test")

    def of_the_request() -> None:
        logs.begin_request("abc-1")
        assert logs.current_request_id() == "abc-1"
        ours.info("within", extra=logs.having(status=200))

    with json_log():
        contextvars.copy_context().run(of_the_request)
        assert logs.current_request_id() is None
        ours.debug("not of interest")
        ours.info("after")
    within, after = map(json.loads, capfd.readouterr().err.splitlines())
    assert (within["event"], within["request_id"], within["status"]) == ("within", "abc-1", 200)
    assert after.keys() == {"timestamp", "level", "logger", "event"}


def test_python_warnings_and_other_libraries_are_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with json_log():
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.getLogger("httpx").info("a URL with a key")
    [line] = map(json.loads, capfd.readouterr().err.splitlines())
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: old" in line["event"]


def test_every_line_of_neo_on_standard_error_is_json(tmp_path: Path) -> None:
    at = place(tmp_path / "here", NEO_LOG="json", NEO_PAGES=2)
    ran = at.neo("run", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["pages"] == 2, "standard output is the result"
    said = [json.loads(line) for line in ran.err.splitlines()]
    assert {"timestamp", "level", "logger", "event"} <= set.intersection(*(set(line) for line in said))
    assert any("fetched" in line["event"] for line in said)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["totals", "--no-such-option"], 2, "No such option"),
        (["sql", "SELECT 1"], 1, "neo run"),
    ],
)
def test_the_error_that_ends_neo_is_json_too(tmp_path: Path, arguments: list[str], code: int, why: str) -> None:
    ended = place(tmp_path / "here").neo(*arguments, NEO_LOG="json")
    assert (ended.code, ended.out) == (code, "")
    *_, last = map(json.loads, ended.err.splitlines())
    assert last["level"] == "error"
    assert why in last["event"]


def test_wrong_settings_are_reported_as_text(tmp_path: Path) -> None:
    ended = place(tmp_path / "here").neo("totals", NEO_LOG="xml")
    assert (ended.code, ended.err) == (2, "Error: NEO_LOG=xml is not allowed: give text or json\n")


def test_outside_of_a_run_there_is_nothing_about_one() -> None:
    record = logging.LogRecord("neo_assets", logging.INFO, "path", 1, "waits %d s", (3,), None)
    record.created = 1_767_225_600.5
    assert json.loads(logs.JsonLines().format(record)) == {
        "timestamp": "2026-01-01T00:00:00.500000Z",
        "level": "info",
        "logger": "neo_assets",
        "event": "waits 3 s",
    }
