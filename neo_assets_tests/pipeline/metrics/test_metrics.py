"""What each metric says of the simulator's NEOs: counted again in Python, on another engine, and from parts."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import datafusion
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_assets.pipeline.count import add_up, compute
from neo_assets.pipeline.metrics.registry import NEWEST_PAGE_AT, Metric
from neo_assets.schema.pages import SIMULATOR, Page
from neo_assets.sources.neows.parse import parse
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.pipeline.by_hand import METRICS

NOW = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)

each = pytest.mark.parametrize("metric", METRICS.each, ids=lambda metric: metric.name)


@each
def test_a_metric_of_approaches_says_whether_it_counts_past_and_predicted_ones(metric: Metric) -> None:
    if "close_approaches" in metric.reads:
        said = metric.total.description
        assert "past" in said
        assert "predicted" in said


@cache
def stored() -> dict[str, pa.Table]:
    """The silver tables of 60 NEOs, one of which lacks what NeoWs may leave out."""
    catalogue, now = Catalogue(60), datetime.now(UTC)
    tables = vars(parse(Page(number, to_json(catalogue.page(number)), now, SIMULATOR, 20, 60) for number in range(3)))
    for table, columns in (
        ("neo_records", ("absolute_magnitude_h", "is_potentially_hazardous_asteroid", "first_observation_date")),
        ("orbits", ("orbit_class",)),
    ):
        for name in columns:
            rows = tables[table]
            lacking = pc.if_else(pa.array([number == 0 for number in range(rows.num_rows)]), None, rows[name])
            index = rows.schema.get_field_index(name)
            tables[table] = rows.set_column(index, rows.schema.field(index), lacking)
    return tables


def result(metric: Metric, rows: dict[str, pa.Table] | None = None) -> pa.Table:
    more = {NEWEST_PAGE_AT: NOW} if metric.of_a_snapshot else {}
    return compute(METRICS, metric, rows or stored(), **more)


def neo(row: dict[str, Any]) -> dict[str, Any]:
    """The NEO of an approach: its record and its orbit."""
    return neos()[row["neo_id"]]


@cache
def neos() -> dict[str, dict[str, Any]]:
    orbits = {row["neo_id"]: row for row in stored()["orbits"].to_pylist()}
    return {row["id"]: orbits[row["id"]] | row for row in stored()["neo_records"].to_pylist()}


def size(h: float | None) -> str:
    if h is None:
        return "unknown"
    limits = {17.75: "1 km and larger", 22.02: "140 m to 1 km", 25.37: "30 m to 140 m"}
    return next((name for limit, name in limits.items() if h <= limit), "smaller than 30 m")


COUNTED: dict[str, Callable[[dict[str, Any]], tuple[Any, ...] | None]] = {
    "near_miss_count": lambda row: (row["orbiting_body"],) if row["miss_distance_au"] < 0.2 else None,
    "yearly_approaches": lambda row: (row["close_approach_date"].year, row["orbiting_body"]),
    "lunar_distance_passes": lambda row: (
        (row["close_approach_date"].year,)
        if row["orbiting_body"] == "Earth" and row["miss_distance_km"] < 384_400
        else None
    ),
    "approaches_by_size_class": lambda row: (row["orbiting_body"], size(neo(row)["absolute_magnitude_h"])),
    "approaches_by_orbit_class": lambda row: (row["orbiting_body"], neo(row)["orbit_class"]),
    "approaches_by_hazard": lambda row: (row["orbiting_body"], neo(row)["is_potentially_hazardous_asteroid"]),
    "near_misses_by_time": lambda row: (
        (row["orbiting_body"], "predicted" if row["close_approach_at"] > NOW else "past")
        if row["miss_distance_au"] < 0.2
        else None
    ),
}
"""Metrics that count approaches: what they count by."""


@pytest.mark.parametrize("name", COUNTED)
def test_approaches_are_counted(name: str) -> None:
    keys = map(COUNTED[name], stored()["close_approaches"].to_pylist())
    expected = Counter(key for key in keys if key is not None)
    rows = result(named(name))
    assert {tuple(row.values())[:-1]: tuple(row.values())[-1] for row in rows.to_pylist()} == expected
    assert rows.num_rows == len(expected)
    assert expected or name == "lunar_distance_passes"


def named(name: str) -> Metric:
    return next(metric for metric in METRICS.each if metric.name == name)


def test_passes_within_a_lunar_distance_are_those_to_earth() -> None:
    rows = stored()["close_approaches"].slice(0, 4)
    for column, values in (
        ("orbiting_body", ["Earth", "Earth", "Moon", "Earth"]),
        ("miss_distance_km", [384_399.9, 384_400.0, 1.0, 1.0]),
        ("close_approach_date", [date(2029, 4, 13)] * 4),
    ):
        index = rows.schema.get_field_index(column)
        rows = rows.set_column(index, rows.schema.field(index), pa.array(values, rows.schema.field(index).type))
    found = result(named("lunar_distance_passes"), stored() | {"close_approaches": rows})
    assert found.to_pylist() == [{"year": 2029, "passes": 2}]


def test_neos_are_counted_by_the_year_of_their_first_observation() -> None:
    days = [row["first_observation_date"] for row in neos().values()]
    expected = Counter(day.year for day in days if day)
    found = result(named("first_observations")).to_pylist()
    assert {row["year"]: row["neos"] for row in found} == expected
    assert expected.total() == len(days) - 1


def test_the_closest_approach_to_earth_of_each_decade() -> None:
    to_earth = [row for row in stored()["close_approaches"].to_pylist() if row["orbiting_body"] == "Earth"]
    closest: dict[int, dict[str, Any]] = {}
    for row in sorted(to_earth, key=lambda row: (row["miss_distance_km"], row["close_approach_at"], row["neo_id"])):
        closest.setdefault(row["close_approach_date"].year // 10 * 10, row)
    found = result(named("closest_approach_per_decade")).to_pylist()
    assert [row["decade"] for row in found] == sorted(closest)
    assert [row.items() - {("decade", row["decade"])} <= closest[row["decade"]].items() for row in found]
    assert len(found) > 10


def test_percentiles_lie_between_the_values_around_them() -> None:
    found = result(named("approach_percentiles")).to_pylist()
    for row in found:
        for column in ("miss_distance_au", "relative_velocity_km_s"):
            of_body = pc.equal(stored()["close_approaches"]["orbiting_body"], row["orbiting_body"])
            values = sorted(stored()["close_approaches"].filter(of_body)[column].to_pylist())
            place, share = divmod(row["percentile"] * (len(values) - 1), 100)
            around = values[place : place + 2]
            assert row[column] == pytest.approx(around[0] + share / 100 * (around[-1] - around[0]), rel=1e-12)
    assert {row["percentile"] for row in found} == {5, 25, 50, 75, 95}


@each
def test_rows_are_in_the_order_of_their_keys(metric: Metric) -> None:
    found = result(metric)
    assert found.equals(found.sort_by([(name, "ascending") for name in metric.grain]))


@each
def test_the_sql_is_common_sql_that_another_engine_runs_with_the_same_result(metric: Metric) -> None:
    other = datafusion.SessionContext()
    for name, columns in metric.reads.items():
        other.register_record_batches(name, [stored()[name].select(columns).to_batches()])
    values = {**metric.parameters, NEWEST_PAGE_AT: NOW}
    bound = {name: value for name, value in values.items() if f"${name}" in metric.sql}
    found = other.sql(metric.sql, param_values=bound).to_arrow_table().cast(metric.total.schema)
    # DataFusion forgets the order of some joins.
    found = found.sort_by([(name, "ascending") for name in metric.grain])
    assert found.equals(result(metric))
    assert found.num_rows or metric.name == "lunar_distance_passes"


adding_up = pytest.mark.parametrize("metric", METRICS.adding_up, ids=lambda metric: metric.name)


def part(ids: Iterable[str]) -> dict[str, pa.Table]:
    wanted = pa.array(ids, pa.string())
    return {name: stored()[name].filter(pc.is_in(stored()[name][0], wanted)) for name in stored() if name in READ}


READ = ("neo_records", "orbits", "close_approaches")


@adding_up
def test_partials_add_up_however_the_neos_are_split(metric: Metric) -> None:
    whole = result(metric)

    @given(st.lists(st.integers(0, 3), min_size=len(neos()), max_size=len(neos())))
    def they_do(shares: list[int]) -> None:
        split = [[id_ for id_, share in zip(neos(), shares, strict=True) if share == number] for number in range(4)]
        assert add_up(metric, [result(metric, part(ids)) for ids in split]).equals(whole)

    they_do()


@each
def test_no_neos_give_no_rows(metric: Metric) -> None:
    assert result(metric, part([])).num_rows == 0
