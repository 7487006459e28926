"""The checks that count again, at the limit of a near miss. What they notice is tested in `test_fault_matrix`."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.by_hand import BY_HAND
from neo_assets.orchestration.checks.counts import figures, recount_of, recounted, same
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline.count import compute
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import NEWEST_PAGE_AT, Metric, of_one_s_own
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.neows.parse import parse
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.pipeline.metrics.limits import EXPECTED, STORED, newest_page, rows_of
from neo_assets_tests.pipeline.metrics.test_metrics import NOW
from neo_assets_tests.pipeline.metrics.test_metrics import stored as silver
from neo_assets_tests.pipeline.metrics.test_registry import FAST
from neo_assets_tests.sources.neows.examples import approach, neo, page


def test_an_approach_at_the_very_limit_is_no_near_miss(lake: Storage) -> None:
    key = "00000-00000"
    gather(lake, key, [page(neo("1", approach("0.2", "29919574"), approach("0.1999999", "29919559", body="Venus")))])
    recount = recount_of(METRICS, METRICS.of_table["near_miss_count"])
    assert recount(Read(lake, key), key) == (True, {"stored": 1, "counted again": 1})


def metrics_with(folder: Path, sql: str) -> tuple[Metrics, Metric]:
    """A metric of one's own, which is not computed by hand."""
    (folder / "fast_approaches.sql").write_text(sql)
    metrics = Metrics(DuckDB(), of_one_s_own(folder))
    return metrics, metrics.each[0]


@pytest.mark.parametrize("adds_up", ["sum", "never"])
@pytest.mark.parametrize("neos", [1, 2, 5])
def test_a_metric_of_ones_own_is_recounted_from_all_neos_once(tmp_path: Path, adds_up: str, neos: int) -> None:
    sql = FAST.replace("adds_up: sum", f"adds_up: {adds_up}").replace("fast_km_s: 20", "fast_km_s: 12")
    metrics, metric = metrics_with(tmp_path, sql)
    stored = vars(parse([page(*(neo(str(one), *[approach(body=f"Body {one}")] * one) for one in range(1, neos + 1)))]))
    expected = [{"orbiting_body": f"Body {one}", "approaches": one} for one in range(1, neos + 1)]
    found = recounted(metrics, metric, stored).to_pylist()
    assert sorted(found, key=lambda row: row["approaches"]) == expected


def test_a_metric_that_only_claims_to_add_up_is_noticed(tmp_path: Path) -> None:
    sql = FAST.replace("count(*)", "max(12)").replace("fast_km_s: 20", "fast_km_s: 0")
    metrics, metric = metrics_with(tmp_path, sql)
    parsed = parse([page(neo("1", approach()), neo("2", approach()))])
    stored = {CLOSE_APPROACHES.name: parsed.close_approaches}
    assert not same(metric, compute(metrics, metric, stored), recounted(metrics, metric, stored))


def test_sums_of_decimals_may_differ_in_their_last_digits_only(tmp_path: Path) -> None:
    sql = FAST.replace("type: int64", "type: double").replace("count(*)", "sum(miss_distance_km)")
    _, metric = metrics_with(tmp_path, sql.replace("[orbiting_body, ", "[orbiting_body, miss_distance_km, "))
    of = {
        name: pa.table({"orbiting_body": ["Earth"], "approaches": pa.array([sum_km], pa.float64())})
        for name, sum_km in {
            "a": 25752547975.540226,
            "b": 25752547975.54022,
            "other": 25752547976e1,
            "none": None,
        }.items()
    }
    assert same(metric, of["a"], of["b"])
    assert not same(metric, of["a"], of["other"])
    assert not same(metric, of["a"], of["none"])


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ([1.0, 1 + 0.9e-9], [1.0, 1.0], True),
        ([1.0, 1 + 1.1e-9], [1.0, 1.0], False),
        ([1.0, 0.0], [1.0, 0.0], True),
        ([], [], True),
    ],
)
def test_sums_of_decimals_differ_by_a_thousand_millionth_at_most_in_every_row(
    tmp_path: Path, one: list[float], other: list[float], are_same: bool
) -> None:
    _, metric = metrics_with(tmp_path, FAST.replace("type: int64", "type: double"))

    def rows(sums: list[float]) -> pa.Table:
        bodies = pa.array(["Earth", "Venus"][: len(sums)], pa.string())
        return pa.table({"orbiting_body": bodies, "approaches": pa.array(sums, pa.float64())})

    assert same(metric, rows(one), rows(other)) is are_same


def test_figures_are_of_the_first_number_and_zero_without_rows(tmp_path: Path) -> None:
    more = "  velocity: {type: int64, unit: km/s, description: Sum of velocities.}\nadds_up"
    sql = FAST.replace("adds_up", more).replace("count(*) AS approaches", "count(*) AS approaches, 7 AS velocity")
    metrics, metric = metrics_with(tmp_path, sql)
    stored = vars(parse([page(neo("1", approach()), neo("2", approach()))]))
    rows = compute(metrics, replace(metric, parameters={"fast_km_s": 1}), stored)
    assert figures(metric, {"stored": rows, "none": rows.slice(0, 0)}) == {"stored": 2, "none": 0}


def test_every_built_in_metric_is_computed_by_hand_too() -> None:
    assert BY_HAND.keys() == {metric.name for metric in METRICS.each}


@pytest.mark.parametrize("metric", METRICS.each, ids=lambda metric: metric.name)
def test_metrics_by_hand_are_those_of_the_sql(metric: Metric) -> None:
    more = {NEWEST_PAGE_AT: NOW} if metric.of_a_snapshot else {}
    for rows in (silver(), {name: table.slice(0, 0) for name, table in silver().items()}):
        assert same(metric, compute(METRICS, metric, rows, **more), recounted(METRICS, metric, rows, **more))


@pytest.mark.parametrize("metric", METRICS.each, ids=lambda metric: metric.name)
def test_metrics_by_hand_of_neos_on_the_limits(metric: Metric) -> None:
    found = recounted(METRICS, metric, STORED, **newest_page(metric))
    assert rows_of(found.sort_by([(name, "ascending") for name in metric.grain])) == EXPECTED[metric.name]
