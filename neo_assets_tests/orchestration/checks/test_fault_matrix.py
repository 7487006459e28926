"""The fault matrix: each corruption of stored data is noticed by exactly the checks whose names tell it, and no check
raises an alarm over data that is right.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import looks
from neo_assets.pipeline.bounds import BOUNDS
from neo_assets.pipeline.count import count
from neo_assets.pipeline.metrics.registry import (
    NEAR_MISS_COUNT,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    YEARLY_APPROACHES,
)
from neo_assets.pipeline.origins import FROM_JSON
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    CLOSE_APPROACHES,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    SNAPSHOT,
)
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.checks.corrupting import (
    FIRST,
    PAGE_SETS,
    SECOND,
    Corrupted,
    exchanged,
    first_row,
    made,
    repeated,
    with_column,
    without_the_first,
)
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total

CATALOGUE = Catalogue(45)
ERROR = dg.AssetCheckSeverity.ERROR


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake without fault; do not change it."""
    return made(tmp_path_factory.mktemp("right"), CATALOGUE)


def compared_as_strings(lake: Corrupted) -> None:
    """The closest approach of each NEO as a program finds it that forgets that distances are numbers."""
    nearest: dict[str, dict[str, object]] = {}

    def note(rows: pa.Table) -> pa.Table:
        for row in sorted(rows.to_pylist(), key=lambda row: str(row["miss_distance_km"])):
            nearest.setdefault(row["neo_id"], row)
        return rows

    def choose(rows: pa.Table) -> pa.Table:
        wrong = [
            row
            | {
                "closest_approach_miss_distance_km": nearest[row["id"]]["miss_distance_km"],
                "closest_approach_date": nearest[row["id"]]["close_approach_date"],
                "closest_approach_relative_velocity_km_s": nearest[row["id"]]["relative_velocity_km_s"],
            }
            if row["id"] in nearest
            else row
            for row in rows.to_pylist()
        ]
        return pa.Table.from_pylist(wrong, schema=rows.schema)

    lake.change(CLOSE_APPROACHES, note)
    lake.change(NEO_RECORDS, choose)


def lost_page_set(lake: Corrupted) -> None:
    for table in METRICS.of_a_page_set:
        lake.delete(table, SECOND)


def refreshed_without_its_total(lake: Corrupted) -> None:
    """A page set whose approaches were counted again after the totals."""
    gather(lake.lake, SECOND, pages_from(CATALOGUE.inserted(3), SECOND, hours=1))


def fetched_again_without_its_total(lake: Corrupted) -> None:
    """The same pages, fetched later: the counts are the same, but other copies may be the last ones."""
    gather(lake.lake, SECOND, pages_from(CATALOGUE, SECOND, hours=1))


def fewer_approaches(lake: Corrupted) -> None:
    """Only approaches to Earth, as a parser may keep them, and counts made from these."""
    lake.change(CLOSE_APPROACHES, lambda rows: rows.filter(pc.equal(rows["orbiting_body"], "Earth")))
    stored = {table.name: tables.read_table(lake.lake, table, FIRST) for table in FROM_JSON}
    for table in METRICS.counts:
        tables.write_table(lake.lake, table, count(METRICS, table, stored), FIRST)


def sent(change: Callable[[dict[str, Any]], dict[str, Any]], objects: int = 1) -> Callable[[Corrupted], None]:
    """Everything from pages on which the first objects are changed."""

    def corrupt(lake: Corrupted) -> None:
        for key in PAGE_SETS:
            gather(lake.lake, key, [_changed(page, change, objects) for page in pages_from(CATALOGUE, key)])
        total(lake.lake, PAGE_SETS)

    return corrupt


def _changed(page: Page, change: Callable[[dict[str, Any]], dict[str, Any]], objects: int) -> Page:
    content = json.loads(page.body)
    neos = content["near_earth_objects"]
    content["near_earth_objects"] = [*map(change, neos[:objects]), *neos[objects:]]
    return replace(page, body=json.dumps(content).encode())


def fewer_neos(lake: Corrupted) -> None:
    """Everything from a later catalogue, whole in itself, that has lost an object."""
    for key in PAGE_SETS:
        gather(lake.lake, key, pages_from(Catalogue(44), key, hours=1))
    total(lake.lake, PAGE_SETS)


def _without_magnitude(neo: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in neo.items() if name not in ("absolute_magnitude_h", "estimated_diameter")}


def _only_to_earth(neo: dict[str, Any]) -> dict[str, Any]:
    to_earth = [one for one in neo["close_approach_data"] if one["orbiting_body"] == "Earth"]
    return neo | {"close_approach_data": to_earth}


def days_later(days: int) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda values: pc.cast(pc.add(pc.cast(values, pa.timestamp("s")), timedelta(days=days)), values.type)


def scaled(factor: float) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    return lambda values: pc.multiply(values, factor)


FAULTS: dict[str, tuple[Callable[[Corrupted], None], set[str]]] = {
    # --- columns and types
    "distances are stored as strings": (
        lambda lake: lake.change(
            CLOSE_APPROACHES, with_column("miss_distance_km", lambda km: pc.cast(km, pa.string()))
        ),
        {
            "rows_fit_the_schema",
            "units_and_times_agree",
            "closest_approach_is_the_nearest",
            "every_neo_is_everywhere",
            "every_approach_is_read_once",
            "known_events_are_there",
            "recount_of_near_miss_count",
            "recount_of_yearly_approaches",
        },
    ),
    "ids are stored as numbers": (
        lambda lake: lake.change(NEO_SIGHTINGS, with_column("neo_id", lambda ids: pc.cast(ids, pa.int64()))),
        {
            "rows_fit_the_schema",
            "every_neo_is_read_once",
            "every_neo_is_everywhere",
            "every_approach_is_read_once",
            "each_neo_counts_once",
            *BOUNDS,
        },
    ),
    "a column is lost": (
        lambda lake: lake.change(NEO_RECORDS, lambda rows: rows.drop_columns("designation")),
        {
            "rows_fit_the_schema",
            "every_neo_is_read_once",
            "every_neo_is_everywhere",
            "every_neo_has_an_orbit",
            "diameter_follows_from_h",
            "hazard_follows_from_moid_and_h",
            "closest_approach_is_the_nearest",
            "nulls_are_not_more",
        },
    ),
    "columns are in another order": (
        lambda lake: lake.change(SNAPSHOT, lambda rows: rows.select(rows.schema.names[::-1]), None),
        {"rows_fit_the_schema", "snapshot_is_consistent"},
    ),
    # --- values
    "a distance is not a number": (
        lambda lake: lake.change(CLOSE_APPROACHES, first_row(relative_velocity_km_s=float("nan"))),
        {"rows_fit_the_schema"},
    ),
    "velocities are in km/h": (
        lambda lake: lake.change(CLOSE_APPROACHES, with_column("relative_velocity_km_s", scaled(3600))),
        {"rows_fit_the_schema", "closest_approach_is_the_nearest"},
    ),
    "a magnitude is a placeholder": (
        lambda lake: lake.change(NEO_RECORDS, first_row(absolute_magnitude_h=99.0)),
        {"rows_fit_the_schema", "diameter_follows_from_h"},
    ),
    "a page is from nowhere": (
        lambda lake: lake.change(RAW_PAGE_INDEX, first_row(source="elsewhere")),
        {"rows_fit_the_schema"},
    ),
    "the verdict is an unknown word": (
        lambda lake: lake.change(SNAPSHOT, first_row(verdict="fine"), None),
        {"rows_fit_the_schema", "snapshot_is_consistent"},
    ),
    "the catalogue has fewer NEOs than none": (
        lambda lake: lake.change(CATALOGUE_STATS, first_row(near_earth_object_count=-1), None),
        {"rows_fit_the_schema"},
    ),
    # --- identities
    "km and au are swapped": (
        lambda lake: lake.change(CLOSE_APPROACHES, exchanged("miss_distance_km", "miss_distance_au")),
        {"units_and_times_agree", "closest_approach_is_the_nearest", "recount_of_near_miss_count"},
    ),
    "au are another au": (
        lambda lake: lake.change(CLOSE_APPROACHES, with_column("miss_distance_km", scaled(1.00001))),
        {"units_and_times_agree", "closest_approach_is_the_nearest"},
    ),
    "dates are shifted": (
        lambda lake: lake.change(CLOSE_APPROACHES, with_column("close_approach_date", days_later(3))),
        {"units_and_times_agree", "closest_approach_is_the_nearest", "recount_of_yearly_approaches"},
    ),
    "diameters are swapped": (
        lambda lake: lake.change(NEO_RECORDS, exchanged("estimated_diameter_min_m", "estimated_diameter_max_m")),
        {"diameter_follows_from_h"},
    ),
    "diameters are in km": (
        lambda lake: lake.change(NEO_RECORDS, with_column("estimated_diameter_max_m", scaled(0.001))),
        {"diameter_follows_from_h"},
    ),
    "perihelion and aphelion are swapped": (
        lambda lake: lake.change(ORBITS, exchanged("perihelion_distance_au", "aphelion_distance_au")),
        {"elements_agree"},
    ),
    "angles are in arc seconds": (
        lambda lake: lake.change(ORBITS, with_column("mean_anomaly_deg", scaled(3600))),
        {"rows_fit_the_schema"},
    ),
    "distances were compared as strings": (compared_as_strings, {"closest_approach_is_the_nearest"}),
    # --- rows
    "an object is doubled": (
        lambda lake: lake.change(NEO_RECORDS, repeated),
        {"rows_fit_the_schema", "every_neo_is_read_once"},
    ),
    "an object is lost": (
        lambda lake: lake.change(NEO_RECORDS, without_the_first),
        {"every_neo_is_read_once", "every_neo_is_everywhere", "every_neo_has_an_orbit"},
    ),
    "an orbit is lost": (lambda lake: lake.change(ORBITS, without_the_first), {"every_neo_has_an_orbit"}),
    "an approach is doubled": (
        lambda lake: lake.change(CLOSE_APPROACHES, repeated),
        {"rows_fit_the_schema", "every_approach_is_read_once", "recount_of_yearly_approaches"},
    ),
    "approaches are of a stranger": (
        lambda lake: lake.change(CLOSE_APPROACHES, first_row(neo_id="9999999")),
        {"every_neo_is_everywhere", "every_approach_is_read_once"},
    ),
    "approaches are lost in reading": (
        fewer_approaches,
        {"every_approach_is_read_once", "closest_approach_is_the_nearest", "each_neo_counts_once"},
    ),
    "a sighting is lost": (
        lambda lake: lake.change(NEO_SIGHTINGS, without_the_first),
        {"every_neo_is_read_once", "every_neo_is_everywhere", "neos_are_not_lost"},
    ),
    "a page is lost from the index": (
        lambda lake: lake.change(RAW_PAGE_INDEX, without_the_first),
        {"every_page_is_whole", "every_neo_is_read_once", "every_approach_is_read_once"},
    ),
    # --- counts and totals
    "a body is spelt in another way": (
        lambda lake: lake.change(NEAR_MISS_COUNT, first_row(orbiting_body="earth")),
        {"recount_of_near_miss_count", "each_neo_counts_once"},
    ),
    "the counts are those of another page set": (
        lambda lake: lake.copy(YEARLY_APPROACHES, SECOND, FIRST),
        {"recount_of_yearly_approaches", "each_neo_counts_once"},
    ),
    "a row of counts is empty": (
        lambda lake: lake.change(YEARLY_APPROACHES, first_row(approaches=0)),
        {"rows_fit_the_schema", "recount_of_yearly_approaches", "each_neo_counts_once"},
    ),
    "a total is off by one": (
        lambda lake: lake.change(TOTAL_YEARLY_APPROACHES, first_row(approaches=10**6), None),
        {"each_neo_counts_once"},
    ),
    "a total has a body twice": (
        lambda lake: lake.change(TOTAL_NEAR_MISSES, repeated, None),
        {"rows_fit_the_schema", "each_neo_counts_once"},
    ),
    "a total is stale": (refreshed_without_its_total, {"each_neo_counts_once"}),
    "a total of the right size is of older copies": (fetched_again_without_its_total, {"each_neo_counts_once"}),
    # --- page sets
    "a page set is lost": (
        lost_page_set,
        {"no_page_set_is_missing", "every_page_set_is_counted", "each_neo_counts_once", "neos_are_not_lost"},
    ),
    "a table lacks a page set": (
        lambda lake: lake.delete(QUARANTINE, SECOND),
        {"no_page_set_is_missing", "every_neo_is_read_once", "nothing_is_in_quarantine"}
        | {"every_approach_is_read_once", "rows_fit_the_schema"},
    ),
    "a page set is left over": (
        lambda lake: lake.copy(NEO_RECORDS, FIRST, "00100-00101"),
        {"no_page_set_is_left_over"},
    ),
    # --- what NeoWs sends
    "a flag is wrong": (
        lambda lake: lake.change(NEO_RECORDS, with_column("is_potentially_hazardous_asteroid", pc.invert)),
        {"hazard_follows_from_moid_and_h"},
    ),
    "an object has a new key": (sent(lambda neo: neo | {"colour": "red"}), {"keys_of_neows_are_known"}),
    "a key is gone": (
        sent(lambda neo: {name: value for name, value in neo.items() if name != "is_sentry_object"}),
        {"keys_of_neows_are_known"},
    ),
    "a key has another type": (
        sent(lambda neo: neo | {"nasa_jpl_url": 5}),
        {"keys_of_neows_are_known", "nothing_is_in_quarantine", "snapshot_is_consistent"}
        | {"neos_are_not_lost", "near_misses_to_earth_are_steady", "shares_of_bodies_are_steady"},
    ),
    "the catalogue has lost an object": (fewer_neos, {"neos_are_not_lost"}),
    "objects have no magnitude any more": (
        sent(_without_magnitude, objects=3),
        {"nulls_are_not_more"},
    ),
    "approaches to other bodies are left out": (
        sent(_only_to_earth, objects=20),
        {"shares_of_bodies_are_steady", "nulls_are_not_more"},
    ),
}


@pytest.mark.parametrize(("corrupt", "noticed_by"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_noticed_by_the_checks_that_name_it(
    lake_of: Corrupted, corrupt: Callable[[Corrupted], None], noticed_by: set[str]
) -> None:
    corrupt(lake_of)
    assert lake_of.noticed() == noticed_by


def test_pages_that_another_process_has_read_are_read_again(
    lake_of: Corrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "_kept", {})
    assert lake_of.noticed() == set()
    lake_of.change(CLOSE_APPROACHES, repeated, SECOND)
    monkeypatch.setattr(looks, "_kept", {})
    assert "every_approach_is_read_once" in lake_of.noticed()


def test_figures_are_no_python(lake_of: Corrupted) -> None:
    figures = [(check.key, name, str(figure)) for check, (_, of) in lake_of.judged() for name, figure in of.items()]
    assert [one for one in figures if one[2].startswith(("[", "{", "("))] == []


@pytest.mark.parametrize("seed", range(20))
def test_no_alarm_over_right_data(tmp_path: Path, seed: int) -> None:
    lake = Corrupted(made(tmp_path, Catalogue(45, seed=seed)))
    assert lake.noticed(ERROR) == set()
