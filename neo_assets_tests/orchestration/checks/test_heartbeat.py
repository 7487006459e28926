"""The checks of the heartbeat: they warn when NeoWs is out of order, or has outgrown NEO_PAGES."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Check
from neo_assets.orchestration.checks.heartbeat import OF_HEARTBEAT, neo_pages_cover_the_catalogue, neows_is_in_order
from neo_assets.pipeline.heartbeat import append
from neo_assets.schema.heartbeat import NOT_ASKED, OUT_OF_ORDER, OVER_LIMIT, REFUSED, Heartbeat
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.settings import settings_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def beat(status: str, neos: int | None = None) -> Heartbeat:
    return Heartbeat(NOON, status, None if status == "ok" else "why", total_elements=neos)


def test_what_they_say_of_neows_is_only_a_warning() -> None:
    severities = {check.key.name: check.severity for check in OF_HEARTBEAT}
    assert severities.pop("rows_fit_the_schema") is dg.AssetCheckSeverity.ERROR
    assert set(severities.values()) == {dg.AssetCheckSeverity.WARN}


@pytest.mark.parametrize("selected", [OF_HEARTBEAT, OF_HEARTBEAT[:1]], ids=["all", "one"])
def test_dagster_runs_those_that_are_selected(lake: Storage, selected: Sequence[Check]) -> None:
    append(lake, beat("fine"))
    job = alone(build_defs(settings_of(lake=lake.root)), [check.key for check in selected])
    with dg.DagsterInstance.ephemeral(str(Path.cwd())) as instance:
        judged = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert {check.asset_check_key: check.passed for check in judged} == {
        check.key: check.judge(lake, 10)[0] for check in selected
    }


@pytest.mark.parametrize(("status", "passes"), [("ok", True), ("fine", False)])
def test_a_row_that_does_not_fit_the_schema_is_noticed(lake: Storage, status: str, passes: bool) -> None:
    append(lake, beat(status))
    [check] = [check for check in OF_HEARTBEAT if check.key.name == "rows_fit_the_schema"]
    assert check.judge(lake, 10)[0] is passes


@pytest.mark.parametrize(
    ("statuses", "passes"),
    [
        ([], True),
        (["ok"], True),
        (["ok", OUT_OF_ORDER], False),
        (["ok", REFUSED], False),
        ([OUT_OF_ORDER, NOT_ASKED], False),
        ([OUT_OF_ORDER, OVER_LIMIT], False),
        (["ok", OVER_LIMIT], True),
        ([OUT_OF_ORDER, "ok"], True),
    ],
)
def test_neows_is_in_order_if_it_answered_when_last_asked(lake: Storage, statuses: list[str], passes: bool) -> None:
    for status in statuses:
        append(lake, beat(status))
    passed, shown = neows_is_in_order(lake, 10)
    assert passed is passes
    assert shown.get("detail") == (None if passes else "why")


@pytest.mark.parametrize(
    ("requested", "neos", "passes"),
    [
        (10, 41_840, True),  # a part of the catalogue, on purpose
        (1_673, 41_840, True),
        (1_674, 41_840, False),
        (2_091, 41_840, False),
        (2_092, 41_840, True),
        (2_092, 41_841, False),
        (2_100, 41_840, True),
        (10, None, True),
    ],
)
def test_a_catalogue_that_has_outgrown_neo_pages_is_noticed(
    lake: Storage, requested: int, neos: int | None, passes: bool
) -> None:
    append(lake, beat("ok", neos))
    append(lake, beat(OUT_OF_ORDER))
    passed, shown = neo_pages_cover_the_catalogue(lake, requested)
    assert passed is passes
    assert ("way out" in shown) is not passes
