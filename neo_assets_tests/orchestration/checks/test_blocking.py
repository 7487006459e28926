"""Checks that block: from tables that are wrong nothing is made, and the run says why."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeWrong, Storage
from neo_assets.orchestration.assets import silver
from neo_assets.orchestration.checks.check import Check, refuse
from neo_assets.orchestration.checks.page_set import of_a_page_set
from neo_assets.pipeline import landed_objects
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, YEARLY_APPROACHES
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.orchestration.checks.corrupting import (
    FIRST,
    SECOND,
    Corrupted,
    made,
    read_without_venus,
    without_the_first,
)
from neo_assets_tests.pipeline.by_hand import METRICS, pages_from
from neo_assets_tests.settings import settings_of

LOST = "close_approaches every_approach_is_read_once"


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(silver, "read_pages", read_without_venus)
    return monkeypatch


NO_RESULT = "emitted no result"
"""What Dagster warns about a check that blocks and does not say that it is done."""


def test_nothing_is_counted_from_tables_that_are_wrong(
    lake: Storage, forgetful: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    defs = build_defs(settings_of(lake=lake.root, pages=2, pages_per_set=2))

    def materialize() -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral(str(Path.cwd())) as instance:
            job = defs.resolve_job_def("page_set")
            return job.execute_in_process(instance=instance, partition_key=FIRST, raise_on_error=False)

    result = materialize()
    assert not result.success
    [failed] = result.get_step_failure_events()
    assert failed.step_key == "page_set_checks"
    assert failed.step_failure_data.user_failure_data
    assert LOST in str(failed.step_failure_data.user_failure_data.description)
    assert not any(tables.stored_page_sets(lake, table, [FIRST]) for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES))
    recorded = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert not recorded["every_approach_is_read_once"]
    assert recorded["diameter_follows_from_h"], "all verdicts of the step are recorded"
    forgetful.undo()
    assert materialize().success
    assert all(tables.stored_page_sets(lake, table, [FIRST]) for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES))
    assert NO_RESULT not in caplog.text


def test_a_run_over_several_page_sets_counts_each_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lake = made(tmp_path, Catalogue(45))
    for table in METRICS.counts:
        for key in (FIRST, SECOND):
            lake.delete(layout.table_file(table, key))
    defs = build_defs(settings_of(lake=lake.root, pages=3, pages_per_set=2))
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral(str(Path.cwd())) as instance:
        job.execute_in_process(
            instance=instance,
            asset_selection=[
                dg.AssetKey(table.name) for table in (CLOSE_APPROACHES, NEAR_MISS_COUNT, YEARLY_APPROACHES)
            ],
            tags={"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND},
        )
    assert all(
        tables.stored_page_sets(lake, table, [FIRST, SECOND]) == [FIRST, SECOND]
        for table in (NEAR_MISS_COUNT, YEARLY_APPROACHES)
    )
    assert NO_RESULT not in caplog.text


def test_neo_run_says_so_and_asks_for_the_page_set_again_next_time(
    neo: Callable[..., Ended], disk_lake: Storage, forgetful: pytest.MonkeyPatch
) -> None:
    def run() -> Ended:
        return neo("run", NEO_LAKE=disk_lake.root, NEO_PAGES=2)

    for _ in range(2):
        ended = run()
        assert ended.code == 1
        assert f"the tables of page set {FIRST} are wrong, so nothing is made from them (" in ended.err
        assert LOST in ended.err
    forgetful.undo()
    assert run().code == 0


def failing(checks: Iterable[Check]) -> dict[Check, tuple[bool, dict[str, object]]]:
    return {check: (False, {"rows": 3}) for check in checks}


def test_the_checks_that_block_are_those_of_what_the_graph_itself_may_lose(tmp_path: Path) -> None:
    lake = made(tmp_path, Catalogue(45))
    with pytest.raises(LakeWrong) as refused:
        refuse(lake, FIRST, failing(of_a_page_set(METRICS)))
    named = {check.key.name for check in of_a_page_set(METRICS) if f"{check.key.name}: rows: 3" in str(refused.value)}
    assert named == {
        "every_neo_is_read_once",
        "every_neo_is_everywhere",
        "closest_approach_is_the_nearest",
        "every_approach_is_read_once",
    }
    refuse(lake, FIRST, failing(check for check in of_a_page_set(METRICS) if not check.blocking))


def test_tables_that_another_process_is_making_again_are_not_refused(tmp_path: Path) -> None:
    lake = made(tmp_path, Catalogue(45))
    [later, _] = pages_from(Catalogue(45).inserted(2), FIRST, hours=1)
    raw_pages.write_page(lake, later)
    refuse(lake, FIRST, failing(of_a_page_set(METRICS)))


def refused(lake: Storage, asset: str) -> str:
    """What the checks of an asset say that run alone, without a page set, and fail the run."""
    defs = build_defs(settings_of(lake=lake.root, pages=3, pages_per_set=2))
    keys = [key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key.to_user_string() == asset]
    with dg.DagsterInstance.ephemeral(str(Path.cwd())) as instance:
        result = alone(defs, keys).execute_in_process(instance=instance, raise_on_error=False)
    [failed] = result.get_step_failure_events()
    assert failed.step_failure_data.user_failure_data
    return str(failed.step_failure_data.user_failure_data.description)


def test_a_run_over_all_page_sets_fails_if_one_is_wrong(tmp_path: Path) -> None:
    lake = Corrupted(made(tmp_path, Catalogue(45)))
    lake.change(CLOSE_APPROACHES, without_the_first, SECOND)
    said = refused(lake.lake, CLOSE_APPROACHES.name)
    assert LOST in said
    assert SECOND in said


def test_landed_objects_that_are_wrong_fail_the_run(lake: Storage) -> None:
    [page] = pages_from(Catalogue(20), "00000-00000")
    raw_pages.write_page(lake, replace(page, number=FIRST_LANDED_PAGE), "a.ndjson")
    landed_objects.compute(lake, METRICS)
    Corrupted(lake).change(CLOSE_APPROACHES, without_the_first, LANDED)
    assert "landed_objects every_approach_is_read_once" in refused(lake, "landed_objects")
