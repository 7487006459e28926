"""Asset checks: they pass on data that the graph made, and each notices the damage it is meant for."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.count import bring_up_to_date
from neo_assets.pipeline.metrics.registry import (
    NEAR_MISS_COUNT,
    TOTAL_NEAR_MISSES,
    YEARLY_APPROACHES,
)
from neo_assets.pipeline.quarantine import discard, quarantined
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, QUARANTINE, RAW_PAGE_INDEX
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import copy
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.settings import settings_of

CATALOGUE = Catalogue(neos=200)
PAGE_SETS = ["00000-00001", "00002-00003"]
FIRST, SECOND = PAGE_SETS
OF_A_PAGE_SET = {
    "every_page_is_whole",
    "catalogue_stood_still",
    "every_neo_is_read_once",
    "nothing_is_in_quarantine",
    "units_and_times_agree",
    "every_neo_is_everywhere",
    "every_approach_is_read_once",
    "known_events_are_there",
    "keys_of_neows_are_known",
    "hazard_follows_from_moid_and_h",
    "diameter_follows_from_h",
    "elements_agree",
    "every_neo_has_an_orbit",
    "closest_approach_is_the_nearest",
    "rows_fit_the_schema",
    *(f"recount_of_{table.name}" for table in METRICS.counts),
}
OF_TOTALS = {
    "each_neo_counts_once",
    "every_page_set_is_counted",
    "rows_fit_the_schema",
    "no_page_set_is_missing",
    "no_page_set_is_left_over",
    "snapshot_is_consistent",
    "no_page_is_too_old",
    "neos_are_not_lost",
    "near_misses_to_earth_are_steady",
    "shares_of_bodies_are_steady",
    "nulls_are_not_more",
}
WHOLE_LAKE = {*(total.name for total in METRICS.every_total), "snapshot", "catalogue_stats", "heartbeat"}

WITH_ROWS = [table for table in METRICS.every_total if table.name != "total_lunar_distance_passes"]
"""The totals that the simulator's NEOs give rows."""

Verdicts = dict[str, bool]


class Graph:
    """The graph over a lake, with its checks to run alone."""

    def __init__(self, lake: Storage) -> None:
        self.lake = lake
        values: dict[str, Any] = {"lake": lake.root, "pages": 4, "pages_per_set": 2}
        self.defs = build_defs(settings_of(**values))
        self.graph = self.defs.resolve_asset_graph()
        self.instance = dg.DagsterInstance.ephemeral(str(Path.cwd()))

    def materialize(self, job: str, page_set: str | None = None) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(instance=self.instance, partition_key=page_set)

    def total(self) -> None:
        """Compute all that is made from all page sets, but for the products."""
        self.materialize("totals")
        bring_up_to_date(METRICS, self.lake, PAGE_SETS)

    def check(self, names: set[str], page_set: str | None = None, landed: bool = False) -> Verdicts:
        """Run checks without materializing anything; checks of the same name give one verdict."""
        verdicts: Verdicts = {}
        for check in self.evaluations(names, page_set, landed):
            verdicts[check.check_name] = verdicts.get(check.check_name, True) and check.passed
        return verdicts

    def evaluations(
        self, names: set[str], page_set: str | None = None, landed: bool = False
    ) -> Sequence[dg.AssetCheckEvaluation]:
        """Run checks alone, as the UI does: without a page set for "Execute all"."""
        keys = [
            key
            for key in self.graph.asset_check_keys
            if key.name in names
            and (key.asset_key.to_user_string() == "landed_objects") is landed
            and (key.asset_key.to_user_string() in WHOLE_LAKE) is (names <= OF_TOTALS)
        ]
        result = alone(self.defs, keys).execute_in_process(
            instance=self.instance, raise_on_error=False, tags={"dagster/partition": page_set} if page_set else None
        )
        return result.get_asset_check_evaluations()

    def change(self, table: Table, change: Callable[[pa.Table], pa.Table], page_set: str | None = FIRST) -> None:
        rows = tables.read_table(self.lake, table, page_set)
        changed = change(rows).cast(table.schema)
        tables.write_table(self.lake, table, tables.with_origin(changed, tables.made_from(rows)), page_set)


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A fully gathered lake, shared by the tests; do not change it."""
    lake = Storage(str(tmp_path_factory.mktemp("gathered") / "lake"))
    graph = Graph(lake)
    for page_set in PAGE_SETS:
        graph.materialize("page_set", page_set)
    graph.total()
    return lake


@pytest.fixture
def graph(gathered: Storage, lake: Storage) -> Graph:
    return Graph(copy(gathered, lake))


def days_later(days: int) -> Callable[[pa.Table], pa.Table]:
    """A change of the times, but not of the dates, of close approaches."""

    def change(rows: pa.Table) -> pa.Table:
        field = rows.schema.field("close_approach_at")
        times = pc.add(rows[field.name], timedelta(days=days)).cast(field.type)
        return rows.set_column(rows.schema.get_field_index(field.name), field, times)

    return change


def replaced(column: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """A change that replaces the value in a column's first row."""

    def change(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index(column)
        values = [value, *rows[column].to_pylist()[1:]]
        return rows.set_column(place, rows.schema.field(column), pa.array(values, rows.schema.field(column).type))

    return change


def repeated_with_zero(rows: pa.Table) -> pa.Table:
    """The first row again, with a count of zero."""
    return replaced("approaches", 0)(rows.slice(0, 1))


def without_the_last(rows: pa.Table) -> pa.Table:
    return rows.slice(0, rows.num_rows - 1)


@disk_and_s3
def test_all_checks_run_with_the_graph_and_pass(lake: Storage) -> None:
    graph = Graph(lake)
    for page_set in PAGE_SETS:
        evaluated = graph.materialize("page_set", page_set).get_asset_check_evaluations()
        assert {check.check_name: check.passed for check in evaluated} == dict.fromkeys(OF_A_PAGE_SET, True)
        assert {check.partition for check in evaluated} == {page_set}
    evaluated = graph.materialize("totals").get_asset_check_evaluations()
    assert {check.check_name: check.passed for check in evaluated} == dict.fromkeys(OF_TOTALS, True)
    assert len(evaluated) == 3 * len(METRICS.totals) + 9


def test_landed_objects_pass_the_same_checks_and_damage_to_them_is_noticed(lake: Storage) -> None:
    graph, checks = (
        Graph(lake),
        OF_A_PAGE_SET - {"every_page_is_whole", "catalogue_stood_still", "keys_of_neows_are_known"},
    )
    [page] = pages_from(CATALOGUE, "00009-00009")
    raw_pages.write_page(lake, dataclasses.replace(page, number=FIRST_LANDED_PAGE + 9), "a.ndjson")
    evaluated = graph.materialize("landed").get_asset_check_evaluations()
    assert {check.check_name: check.passed for check in evaluated} == dict.fromkeys(checks, True)
    graph.change(NEAR_MISS_COUNT, without_the_last, LANDED)
    found = graph.check(checks, landed=True)
    assert {name for name, passed in found.items() if not passed} == {"recount_of_near_miss_count"}


@pytest.mark.parametrize(
    ("table", "change", "noticed_by"),
    [
        (RAW_PAGE_INDEX, without_the_last, {"every_page_is_whole"}),
        (RAW_PAGE_INDEX, replaced("neos", 19), {"every_page_is_whole"}),
        (RAW_PAGE_INDEX, replaced("total_elements", 41_838), {"catalogue_stood_still"}),
        (NEO_RECORDS, lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), {"every_neo_is_read_once"}),
        (NEO_RECORDS, without_the_last, {"every_neo_is_read_once"}),
        (CLOSE_APPROACHES, replaced("miss_distance_au", -0.1), {"rows_fit_the_schema", "units_and_times_agree"}),
        (CLOSE_APPROACHES, replaced("miss_distance_km", 1.0), {"units_and_times_agree"}),
        (CLOSE_APPROACHES, replaced("relative_velocity_km_s", 0.0), {"rows_fit_the_schema"}),
        (CLOSE_APPROACHES, replaced("neo_id", "nobody"), {"every_neo_is_everywhere"}),
        (CLOSE_APPROACHES, days_later(2), {"units_and_times_agree"}),
        (CLOSE_APPROACHES, without_the_last, {"recount_of_yearly_approaches"}),
        (NEAR_MISS_COUNT, replaced("near_misses", 10_000), {"recount_of_near_miss_count"}),
        (NEAR_MISS_COUNT, without_the_last, {"recount_of_near_miss_count"}),
        (YEARLY_APPROACHES, replaced("approaches", 10_000), {"recount_of_yearly_approaches"}),
        (YEARLY_APPROACHES, replaced("orbiting_body", "Pluto"), {"recount_of_yearly_approaches"}),
        (
            YEARLY_APPROACHES,
            lambda rows: pa.concat_tables([rows, repeated_with_zero(rows)]),
            {"recount_of_yearly_approaches"},
        ),
    ],
)
def test_damage_to_a_table_of_a_page_set_is_noticed(
    graph: Graph, table: Table, change: Callable[[pa.Table], pa.Table], noticed_by: set[str]
) -> None:
    graph.change(table, change)
    verdicts = graph.check(OF_A_PAGE_SET, FIRST)
    assert verdicts.keys() == OF_A_PAGE_SET
    assert {name for name, passed in verdicts.items() if not passed} >= noticed_by
    assert all(graph.check(OF_A_PAGE_SET, PAGE_SETS[1]).values()), "another page set is not affected"


@pytest.mark.parametrize("days", [-1, 1])
def test_a_time_that_is_read_though_it_is_a_day_off_its_date_is_no_damage(graph: Graph, days: int) -> None:
    graph.change(CLOSE_APPROACHES, days_later(days))
    assert graph.check(OF_A_PAGE_SET, FIRST)["units_and_times_agree"]


def test_a_record_in_quarantine_is_noticed(graph: Graph) -> None:
    record = {"page": 0, "index": 3, "reason": "miss_distance: not a number", "record": "{}"}
    wanted = {name: record.get(name) for name in QUARANTINE.schema.names}
    graph.change(QUARANTINE, lambda rows: pa.Table.from_pylist([wanted], schema=QUARANTINE.schema))
    assert graph.check({"nothing_is_in_quarantine"}, FIRST) == {"nothing_is_in_quarantine": False}
    discard(graph.lake, quarantined(graph.lake, [FIRST]), "a test")
    assert graph.check({"nothing_is_in_quarantine"}, FIRST) == {"nothing_is_in_quarantine": True}


def test_a_page_set_without_counts_is_noticed(graph: Graph) -> None:
    graph.lake.delete(layout.table_file(NEAR_MISS_COUNT, FIRST))
    assert graph.check({"every_page_set_is_counted"}) == {"every_page_set_is_counted": False}


def test_totals_that_differ_from_the_current_counts_are_noticed(graph: Graph) -> None:
    graph.change(TOTAL_NEAR_MISSES, replaced("near_misses", 1), page_set=None)
    assert graph.check({"each_neo_counts_once"}) == {"each_neo_counts_once": False}


@pytest.fixture
def moved(graph: Graph) -> Graph:
    """The catalogue moved between two page sets, so the second repeats thirty objects of the first."""
    catalogue = Catalogue(40)
    for hours, page_set, there in ((0, FIRST, catalogue), (1, PAGE_SETS[1], catalogue.inserted(30))):
        gather(graph.lake, page_set, pages_from(there, page_set, hours))
    graph.total()
    return graph


def test_a_total_without_the_superseded_copies_passes(moved: Graph) -> None:
    assert moved.check({"each_neo_counts_once"}) == {"each_neo_counts_once": True}


@pytest.mark.parametrize("table", WITH_ROWS, ids=lambda table: table.name)
@pytest.mark.parametrize("by", [1, -1])
def test_a_total_that_is_off_by_one_is_noticed_despite_superseded_copies(moved: Graph, table: Table, by: int) -> None:
    count = METRICS.of_table[table.name].numbers[0]

    def change(rows: pa.Table) -> pa.Table:
        return replaced(count, rows[count][0].as_py() + by)(rows)

    moved.change(table, change, page_set=None)
    assert moved.check({"each_neo_counts_once"}) == {"each_neo_counts_once": False}


def by_page_set(evaluations: Sequence[dg.AssetCheckEvaluation]) -> dict[str, dict[str | None, bool]]:
    """Each check's verdicts: of every page set in the order in which they were recorded, and of the run (None)."""
    found: dict[str, dict[str | None, bool]] = {}
    for check in evaluations:
        found.setdefault(check.check_name, {})[check.partition] = check.passed
    return found


@pytest.mark.slow
def test_checks_run_without_a_page_set_report_each_stored_one(graph: Graph) -> None:
    """As "Execute all" in the UI starts them."""
    graph.materialize("recompute", FIRST)
    whole = {FIRST: True, SECOND: True, None: True}
    assert by_page_set(graph.evaluations(OF_A_PAGE_SET)) == dict.fromkeys(OF_A_PAGE_SET, whole)
    graph.change(YEARLY_APPROACHES, replaced("approaches", 10_000))
    found = by_page_set(graph.evaluations(OF_A_PAGE_SET))
    assert found.pop("recount_of_yearly_approaches") == {FIRST: False, SECOND: True, None: False}
    assert found == dict.fromkeys(OF_A_PAGE_SET - {"recount_of_yearly_approaches"}, whole)


def test_the_last_status_recorded_is_a_failure_if_there_is_one(graph: Graph) -> None:
    """The UI's list of checks shows the last one."""
    graph.change(YEARLY_APPROACHES, replaced("approaches", 10_000))
    assert list(by_page_set(graph.evaluations({"recount_of_yearly_approaches"}))["recount_of_yearly_approaches"]) == [
        SECOND,
        FIRST,
        None,
    ]
    whole = graph.evaluations({"recount_of_yearly_approaches"})[-1]
    assert {name: figure.value for name, figure in whole.metadata.items()} == {
        "page sets checked": 2,
        "page sets that fail": FIRST,
    }


def test_page_sets_that_are_not_stored_are_not_checked(graph: Graph) -> None:
    graph.lake.delete(layout.table_file(YEARLY_APPROACHES, FIRST))
    assert by_page_set(graph.evaluations({"recount_of_yearly_approaches", "recount_of_near_miss_count"})) == {
        "recount_of_near_miss_count": {FIRST: True, SECOND: True, None: True},
        "recount_of_yearly_approaches": {SECOND: True, None: True},
    }


def test_an_empty_lake_passes_no_check(lake: Storage) -> None:
    [check] = Graph(lake).evaluations({"recount_of_yearly_approaches"})
    assert not check.passed
    assert {name: figure.value for name, figure in check.metadata.items()} == {
        "page sets checked": "none is stored yet: run `neo run`, or materialize yearly_approaches"
    }


def test_a_damaged_table_fails_the_checks_of_its_page_set_only(graph: Graph) -> None:
    graph.lake.write(layout.table_file(CLOSE_APPROACHES, FIRST), b"no Parquet")
    evaluations = graph.evaluations({"recount_of_yearly_approaches"})
    assert by_page_set(evaluations) == {"recount_of_yearly_approaches": {SECOND: True, FIRST: False, None: False}}
    [damaged] = [check for check in evaluations if check.partition == FIRST]
    assert "is damaged" in str(damaged.metadata["cannot be read"].value)


def test_a_run_over_several_page_sets_reports_each(graph: Graph) -> None:
    job = graph.defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey("yearly_approaches")],
        tags={"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": SECOND},
    )
    whole = {FIRST: True, SECOND: True, None: True}
    found = by_page_set(result.get_asset_check_evaluations())
    assert found == dict.fromkeys(["recount_of_yearly_approaches", "rows_fit_the_schema"], whole)


@pytest.mark.parametrize("page_set", [FIRST, None])
def test_a_verdict_is_on_the_materialization_that_was_there_when_the_table_was_read(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, page_set: str | None
) -> None:
    """Not on one that is made meanwhile."""
    made, read = dg.AssetMaterialization("yearly_approaches", partition=FIRST), tables.read_table
    graph.instance.report_runless_asset_event(made)
    [before] = graph.instance.fetch_materializations(dg.AssetKey("yearly_approaches"), limit=1).records

    def read_and_make(*arguments: Any, **options: Any) -> pa.Table:
        graph.instance.report_runless_asset_event(made)
        return read(*arguments, **options)

    monkeypatch.setattr(tables, "read_table", read_and_make)
    [check] = [
        check for check in graph.evaluations({"recount_of_yearly_approaches"}, page_set) if check.partition == FIRST
    ]
    assert check.target_materialization_data
    assert check.target_materialization_data.storage_id == before.storage_id


def test_one_check_can_be_run_alone(graph: Graph) -> None:
    assert graph.check({"recount_of_yearly_approaches"}, FIRST) == {"recount_of_yearly_approaches": True}


def test_checks_that_good_data_can_fail_only_warn(graph: Graph) -> None:
    """The catalogue may grow while pages are fetched, and page sets may be gathered later."""
    graph.change(RAW_PAGE_INDEX, replaced("total_elements", 41_838))
    result = graph.materialize("recompute", FIRST)
    assert result.success
    severities = {
        check.check_name: check.severity
        for check in [*result.get_asset_check_evaluations(), *graph.materialize("totals").get_asset_check_evaluations()]
    }
    for name in {"nothing_is_in_quarantine", "every_page_set_is_counted"} & severities.keys():
        assert severities[name] is dg.AssetCheckSeverity.WARN
    for name in {
        "rows_fit_the_schema",
        "units_and_times_agree",
        "recount_of_near_miss_count",
        "recount_of_yearly_approaches",
    } & severities.keys():
        assert severities[name] is dg.AssetCheckSeverity.ERROR
