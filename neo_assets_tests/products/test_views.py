"""The views: what each shows of a lake filled by hand, and that past and predicted approaches are never one number."""

import re
from datetime import UTC, datetime

import duckdb
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.views import views
from neo_assets.schema.products import VIEWS
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.products.by_hand import in_days, rows

ASKED_FOR = {
    *("upcoming_approaches", "within_one_lunar_distance", "closest_approaches", "hazardous", "fastest"),
    *("by_year", "by_decade", "by_body", "by_size", "by_orbit_class"),
}


def test_there_is_a_view_for_each_question() -> None:
    assert views().keys() >= ASKED_FOR
    assert all(view.description.endswith(".") for view in views().values())


def test_a_view_comes_after_those_that_it_reads() -> None:
    seen: set[str] = set()
    for name, view in views().items():
        assert set(view.reads).intersection(views()) <= seen, name
        seen.add(name)
    assert views()["hazardous"].reads == ["neos_with_size", "approaches"]


def test_the_sql_is_common() -> None:
    special = ("QUALIFY", "GROUP BY ALL", "EXCLUDE", "FILTER", "::")
    assert [view.name for view in views().values() if any(word in view.sql.upper() for word in special)] == []


def test_upcoming_approaches_are_those_to_earth_within_60_days(shared: Storage) -> None:
    found = rows(shared, "SELECT neo_id, CAST(close_approach_at AS DATE), is_predicted FROM upcoming_approaches")
    assert [(id_, str(day), predicted) for id_, day, predicted in found] == [("10", in_days(30), True)]


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Kiritimati"])
def test_today_is_that_of_utc_wherever_the_reader_is(zone: str) -> None:
    found = re.search(r"BETWEEN (.*)\n", views()["upcoming_approaches"].sql)
    assert found
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{zone}'")
        assert connection.execute(f"SELECT {found[1]}").fetchall() == [(datetime.now(UTC).date(),)]


def test_a_lunar_distance_is_384_400_km(shared: Storage) -> None:
    [(neo_id, distance)] = rows(shared, "SELECT neo_id, miss_distance_ld FROM within_one_lunar_distance")
    assert (neo_id, distance) == ("1", pytest.approx(373_994 / 384_400))


def test_each_neo_has_its_closest_approach_to_earth(shared: Storage) -> None:
    found = rows(shared, "SELECT neo_id, is_predicted, miss_distance_km FROM closest_approaches")
    assert found == [("1", True, 373_994), ("10", True, 14_959_787), ("2", False, 14_959_787)]


def test_hazardous_neos_have_their_next_approach(shared: Storage) -> None:
    found = rows(shared, "SELECT neo_id, size_class_from_h, CAST(next_approach_at AS VARCHAR) FROM hazardous")
    assert found == [("1", "1 km and larger", "2029-04-13 00:00:00")]


@pytest.mark.parametrize("view", ["by_body", "by_year", "by_decade"])
def test_past_and_predicted_approaches_are_apart(shared: Storage, view: str) -> None:
    assert rows(shared, f"SELECT sum(past_approaches), sum(predicted_approaches) FROM {view}") == [(2, 4)]


def test_years_and_decades_are_those_of_the_approaches(shared: Storage) -> None:
    assert rows(shared, "SELECT year, orbiting_body, past_approaches FROM by_year LIMIT 2") == [
        (2001, "Earth", 1),
        (2001, "Venus", 1),
    ]
    assert rows(shared, "SELECT min(decade) FROM by_decade") == [(2000,)]


@pytest.mark.parametrize("view", ["by_size", "by_orbit_class"])
def test_every_neo_is_in_one_class(shared: Storage, view: str) -> None:
    sums = "sum(neos), sum(hazardous_neos), sum(past_approaches_to_earth), sum(predicted_approaches_to_earth)"
    assert rows(shared, f"SELECT {sums} FROM {view}") == [(4, 1, 1, 3)]


def test_size_classes_follow_from_h(shared: Storage) -> None:
    found = rows(shared, "SELECT size_class_from_h, neos FROM by_size")
    assert found == [("1 km and larger", 1), ("140 m to 1 km", 2), ("unknown", 1)]


def test_size_classes_are_those_of_the_metric() -> None:
    columns = METRICS.tables["total_approaches_by_size_class"].columns
    [of_metric] = [column for column in columns if column.name == "size_class_from_h"]
    assert set(re.findall(r"(?:THEN|ELSE) '(.+)'", views()["neos_with_size"].sql)) == set(of_metric.choices)


def test_the_fastest_and_those_watched_by_sentry(shared: Storage) -> None:
    assert rows(shared, "SELECT count(*), bool_and(relative_velocity_km_s = 12.5) FROM fastest") == [(4, True)]
    assert rows(shared, "SELECT * FROM sentry_objects") == []
    assert rows(shared, "SELECT year, neos FROM by_first_observation") == [(1999, 4)]


def test_their_names_are_reserved() -> None:
    assert sorted(VIEWS) == sorted(views())
