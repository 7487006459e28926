"""The SQL: near misses, strictly below 0.2 au; approaches by year; and which copies of an object are superseded."""

from datetime import date, timedelta
from typing import Any, get_args

import pyarrow as pa
import pytest

from neo_assets.pipeline.catalogue import superseded
from neo_assets.pipeline.count import count
from neo_assets.pipeline.metrics.engine import ENGINES, Metrics
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, YEARLY_APPROACHES
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_SIGHTINGS
from neo_assets.settings import Settings
from neo_assets_tests.sources.neows.examples import NOON


def approaches(*rows: tuple[str, float, date]) -> pa.Table:
    """Close approaches from orbiting body, miss distance in au, and date."""
    whole = [
        {
            "neo_id": "1",
            "close_approach_at": NOON,
            "close_approach_date": day,
            "orbiting_body": body,
            "miss_distance_au": au,
            "miss_distance_km": 1.0,
            "relative_velocity_km_s": 1.0,
        }
        for body, au, day in rows
    ]
    return pa.Table.from_pylist(whole, schema=CLOSE_APPROACHES.schema)


def counted(metrics: Metrics, table: Table, rows: pa.Table) -> list[dict[str, Any]]:
    found = count(metrics, table, {CLOSE_APPROACHES.name: rows})
    assert found.schema.remove_metadata().equals(table.schema, check_metadata=True)
    return list(found.to_pylist())


def test_a_near_miss_is_strictly_closer_than_a_fifth_of_an_au(metrics: Metrics) -> None:
    day = date(2000, 1, 1)
    rows = approaches(*(("Earth", au, day) for au in (0.0, 0.1999999999, float("0.2"), 0.2000000001, 3.0)))
    assert counted(metrics, NEAR_MISS_COUNT, rows) == [{"orbiting_body": "Earth", "near_misses": 2}]


def test_near_misses_are_counted_per_body_in_order(metrics: Metrics) -> None:
    day = date(2000, 1, 1)
    rows = approaches(("Venus", 0.1, day), ("Earth", 0.1, day), ("Juptr", 0.9, day), ("Venus", 0.1, day))
    assert counted(metrics, NEAR_MISS_COUNT, rows) == [
        {"orbiting_body": "Earth", "near_misses": 1},
        {"orbiting_body": "Venus", "near_misses": 2},
    ]


def test_approaches_are_counted_per_calendar_year_and_body_in_order(metrics: Metrics) -> None:
    days = ("1899-12-31", "1900-01-01", "1900-12-31", "2201-01-01")
    rows = approaches(*(("Venus", 0.5, date.fromisoformat(day)) for day in days), ("Earth", 9.0, date(1900, 7, 1)))
    assert counted(metrics, YEARLY_APPROACHES, rows) == [
        {"year": 1899, "orbiting_body": "Venus", "approaches": 1},
        {"year": 1900, "orbiting_body": "Earth", "approaches": 1},
        {"year": 1900, "orbiting_body": "Venus", "approaches": 2},
        {"year": 2201, "orbiting_body": "Venus", "approaches": 1},
    ]


@pytest.mark.parametrize("table", [NEAR_MISS_COUNT, YEARLY_APPROACHES], ids=lambda table: table.name)
def test_no_approaches_give_no_rows(metrics: Metrics, table: Table) -> None:
    assert counted(metrics, table, approaches()) == []


def sightings(*rows: tuple[str, str, str, int, float], are_counted: bool = True) -> pa.Table:
    """Sightings from page set, id, designation, page number and hours after noon."""
    whole = [
        {
            "page_set": page_set,
            "neo_id": spk_id,
            "principal_designation": designation,
            "page": page,
            "fetched_at": NOON + timedelta(hours=hours),
            "is_counted": are_counted,
        }
        for page_set, spk_id, designation, page, hours in rows
    ]
    return pa.Table.from_pylist(whole, schema=NEO_SIGHTINGS.schema.append(pa.field("page_set", pa.string())))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("A", "1", "x", 0, 0), ("B", "2", "y", 1, 1)], []),
        ([("A", "1", "x", 0, 0), ("B", "1", "x", 1, 1)], [("A", "1")]),
        ([("A", "1", "x", 0, 2), ("B", "1", "x", 1, 1)], [("B", "1")]),
        ([("A", "1", "x", 0, 1), ("B", "1", "x", 1, 1)], [("A", "1")]),
        ([("A", "3", "x", 0, 0), ("B", "2", "x", 1, 1)], [("A", "3")]),
        ([("A", "1", "x", 0, 0), ("B", "1", "x", 1, 1), ("C", "1", "x", 2, 2)], [("A", "1"), ("B", "1")]),
        ([("A", "3", "x", 0, 0), ("B", "3", "x", 1, 1), ("C", "2", "x", 2, 2)], [("A", "3"), ("B", "3")]),
        ([("A", "1", "x", 0, 0), ("B", "1", "y", 1, 1)], [("A", "1")]),
    ],
    ids=["none", "later set", "earlier set", "later page", "numbered", "three", "three, numbered at last", "renamed"],
)
def test_superseded_copies(metrics: Metrics, rows: list[Any], expected: list[tuple[str, str]]) -> None:
    assert left_out(metrics, sightings(*rows)) == expected


def left_out(metrics: Metrics, seen: pa.Table) -> list[tuple[str, str]]:
    return [(row["page_set"], row["neo_id"]) for row in superseded(metrics, seen).to_pylist()]


@pytest.mark.parametrize(
    ("first", "second"), [(("1", "x"), ("1", "y")), (("1", "x"), ("2", "x")), (("2", "x"), ("1", "x"))]
)
@pytest.mark.parametrize("order", [1, -1])
def test_of_copies_fetched_at_once_that_of_the_last_page_counts_then_that_of_the_last_set(
    metrics: Metrics, first: tuple[str, str], second: tuple[str, str], order: int
) -> None:
    """The same id, or the same designation."""
    other_page = [("B", *first, 0, 1), ("A", *second, 1, 1)][::order]
    assert left_out(metrics, sightings(*other_page)) == [("B", first[0])]
    same_page = [("A", *first, 1, 1), ("B", *second, 1, 1)][::order]
    assert left_out(metrics, sightings(*same_page)) == [("A", first[0])]


def test_superseded_copies_are_in_order(metrics: Metrics) -> None:
    older = [("A", "2", "y", 0, 0), ("A", "1", "x", 1, 0)]
    assert left_out(metrics, sightings(*older, ("B", "2", "y", 2, 1), ("B", "1", "x", 3, 1))) == [
        ("A", "1"),
        ("A", "2"),
    ]


def test_a_copy_that_its_own_page_set_left_out_is_not_left_out_again(metrics: Metrics) -> None:
    older = sightings(("A", "1", "x", 0, 0), are_counted=False)
    assert left_out(metrics, pa.concat_tables([older, sightings(("A", "1", "x", 1, 1))])) == []


def test_parameters_are_bound_and_never_part_of_the_sql(metrics: Metrics) -> None:
    rows = approaches(("Earth'; DROP TABLE close_approaches; --", 0.1, date(2000, 1, 1)))
    sql = metrics.of_table[NEAR_MISS_COUNT.name].sql
    assert metrics.run(sql, {"close_approaches": rows}, {"near_miss_au": 0.05}).num_rows == 0
    assert metrics.run(sql, {"close_approaches": rows}, {"near_miss_au": 0.5}).num_rows == 1


def test_the_settings_know_every_engine() -> None:
    assert set(get_args(Settings.model_fields["engine"].annotation)) == ENGINES.keys()
