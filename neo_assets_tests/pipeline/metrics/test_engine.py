"""The SQL: near misses, strictly below 0.2 au; approaches by year; and which copies of an object are superseded."""

from datetime import date, timedelta
from typing import Any, get_args

import pyarrow as pa
import pytest

from neo_assets.pipeline.count import count, superseded
from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.metrics.engine import ENGINES
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import CLOSE_APPROACHES, NEAR_MISS_COUNT, NEO_SIGHTINGS, YEARLY_APPROACHES
from neo_assets.settings import Settings
from neo_assets_tests.sources.neows.examples import NOON

ENGINE = ENGINES["duckdb"]()


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


def counted(table: Table, rows: pa.Table) -> list[dict[str, Any]]:
    found = count(ENGINE, table, rows)
    assert found.schema.remove_metadata().equals(table.schema, check_metadata=True)
    return list(found.to_pylist())


def test_a_near_miss_is_strictly_closer_than_a_fifth_of_an_au() -> None:
    day = date(2000, 1, 1)
    rows = approaches(*(("Earth", au, day) for au in (0.0, 0.1999999999, float("0.2"), 0.2000000001, 3.0)))
    assert counted(NEAR_MISS_COUNT, rows) == [{"orbiting_body": "Earth", "near_misses": 2}]


def test_near_misses_are_counted_per_body_in_order() -> None:
    day = date(2000, 1, 1)
    rows = approaches(("Venus", 0.1, day), ("Earth", 0.1, day), ("Juptr", 0.9, day), ("Venus", 0.1, day))
    assert counted(NEAR_MISS_COUNT, rows) == [
        {"orbiting_body": "Earth", "near_misses": 1},
        {"orbiting_body": "Venus", "near_misses": 2},
    ]


def test_approaches_are_counted_per_calendar_year_and_body_in_order() -> None:
    days = ("1899-12-31", "1900-01-01", "1900-12-31", "2201-01-01")
    rows = approaches(*(("Venus", 0.5, date.fromisoformat(day)) for day in days), ("Earth", 9.0, date(1900, 7, 1)))
    assert counted(YEARLY_APPROACHES, rows) == [
        {"year": 1899, "orbiting_body": "Venus", "approaches": 1},
        {"year": 1900, "orbiting_body": "Earth", "approaches": 1},
        {"year": 1900, "orbiting_body": "Venus", "approaches": 2},
        {"year": 2201, "orbiting_body": "Venus", "approaches": 1},
    ]


@pytest.mark.parametrize("table", [NEAR_MISS_COUNT, YEARLY_APPROACHES], ids=lambda table: table.name)
def test_no_approaches_give_no_rows(table: Table) -> None:
    assert counted(table, approaches()) == []


def sightings(*rows: tuple[str, str, str, int, float]) -> pa.Table:
    """Sightings from page set, id, designation, page number and hours after noon."""
    whole = [
        {
            "page_set": page_set,
            "neo_id": spk_id,
            "principal_designation": designation,
            "page": page,
            "fetched_at": NOON + timedelta(hours=hours),
            "is_counted": True,
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
    ],
    ids=["none", "later set", "earlier set", "later page", "numbered", "three", "three, numbered at last"],
)
def test_superseded_copies(rows: list[Any], expected: list[tuple[str, str]]) -> None:
    found = superseded(ENGINE, sightings(*rows)).to_pylist()
    assert [(row["page_set"], row["neo_id"]) for row in found] == expected


def test_parameters_are_bound_and_never_part_of_the_sql() -> None:
    rows = approaches(("Earth'; DROP TABLE close_approaches; --", 0.1, date(2000, 1, 1)))
    sql = registry.sql("near_miss_count")
    assert ENGINE.run(sql, {"close_approaches": rows}, {"near_miss_au": 0.05}).num_rows == 0
    assert ENGINE.run(sql, {"close_approaches": rows}, {"near_miss_au": 0.5}).num_rows == 1


def test_a_metric_is_a_sql_file() -> None:
    with pytest.raises(FileNotFoundError):
        registry.sql("no_such_metric")


def test_the_settings_know_every_engine() -> None:
    assert set(get_args(Settings.model_fields["engine"].annotation)) == ENGINES.keys()
