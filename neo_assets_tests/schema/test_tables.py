"""The tables' columns are an interface: this file repeats their names, order, types and nullability on purpose."""

import pyarrow as pa
import pytest

from neo_assets.pipeline.metrics.registry import Metric
from neo_assets.schema import tables as schema
from neo_assets.schema.columns import Table
from neo_assets_tests.pipeline.by_hand import METRICS

COLUMNS = {
    "raw_page_index": """
        page int32
        fetched_at timestamp[us, tz=UTC]
        source string
        sha256 string
        bytes int64
        neos int32
        total_elements int64
        md5 string
        file string?
        clock_at timestamp[us, tz=UTC]?
    """,
    "catalogue_stats": """
        fetched_at timestamp[us, tz=UTC]
        near_earth_object_count int64
        close_approach_count int64
    """,
    "heartbeat": """
        at timestamp[us, tz=UTC]
        status string
        detail string?
        source string?
        page_seconds double?
        stats_seconds double?
        total_elements int64?
        near_earth_object_count int64?
        close_approach_count int64?
    """,
    "neo_records": """
        id string
        neo_reference_id string
        name string
        name_limited string?
        designation string?
        nasa_jpl_url string?
        absolute_magnitude_h double?
        is_potentially_hazardous_asteroid bool?
        estimated_diameter_min_m double?
        estimated_diameter_max_m double?
        closest_approach_miss_distance_km double?
        closest_approach_date date32[day]?
        closest_approach_relative_velocity_km_s double?
        first_observation_date date32[day]?
        last_observation_date date32[day]?
        observations_used int64?
        orbital_period_days double?
    """,
    "orbits": """
        neo_id string
        orbit_id string?
        orbit_determined_at timestamp[ms]?
        data_arc_days int64?
        orbit_uncertainty int32?
        epoch_jd double?
        equinox string?
        eccentricity double?
        semi_major_axis_au double?
        perihelion_distance_au double?
        aphelion_distance_au double?
        inclination_deg double?
        ascending_node_longitude_deg double?
        perihelion_argument_deg double?
        perihelion_time_jd double?
        mean_anomaly_deg double?
        mean_motion_deg_per_day double?
        earth_moid_au double?
        jupiter_tisserand_parameter double?
        orbit_class string?
        orbit_class_description string?
        orbit_class_range string?
        is_sentry_object bool?
        sentry_url string?
    """,
    "close_approaches": """
        neo_id string
        close_approach_at timestamp[ms, tz=UTC]
        close_approach_date date32[day]
        orbiting_body string
        miss_distance_au double
        miss_distance_km double
        relative_velocity_km_s double
    """,
    "neo_sightings": """
        neo_id string
        principal_designation string
        page int32
        fetched_at timestamp[us, tz=UTC]
        is_counted bool
    """,
    "quarantine": """
        page int32
        index int32
        reason string
        record string
    """,
    "near_miss_count": """
        orbiting_body string
        near_misses int64
    """,
    "yearly_approaches": """
        year int32
        orbiting_body string
        approaches int64
    """,
    "snapshot": """
        verdict string
        reason string
        count int64
        detail string
    """,
    "total_approach_percentiles": """
        orbiting_body string
        percentile int32
        miss_distance_au double
        relative_velocity_km_s double
    """,
    "total_approaches_by_hazard": """
        orbiting_body string
        is_potentially_hazardous_asteroid bool?
        approaches int64
    """,
    "total_approaches_by_orbit_class": """
        orbiting_body string
        orbit_class string?
        approaches int64
    """,
    "total_approaches_by_size_class": """
        orbiting_body string
        size_class_from_h string
        approaches int64
    """,
    "total_closest_approach_per_decade": """
        decade int32
        miss_distance_km double
        close_approach_at timestamp[ms, tz=UTC]
        neo_id string
        miss_distance_au double
        relative_velocity_km_s double
    """,
    "total_first_observations": """
        year int32
        neos int64
    """,
    "total_lunar_distance_passes": """
        year int32
        passes int64
    """,
    "total_near_misses_by_time": """
        orbiting_body string
        time string
        near_misses int64
    """,
}
for metric in METRICS.adding_up:
    COLUMNS[metric.total.name] = COLUMNS[metric.name]


def test_there_are_no_other_tables() -> None:
    assert set(METRICS.tables) == set(COLUMNS)
    assert all(name == table.name for name, table in METRICS.tables.items())


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_keep_their_names_order_and_types(name: str) -> None:
    expected = [tuple(line.strip().split(" ", 1)) for line in COLUMNS[name].strip().splitlines()]
    fields = METRICS.tables[name].schema
    assert [(one.name, f"{one.type}{'?' * one.nullable}") for one in fields] == expected


def test_neo_records_has_exactly_17_columns() -> None:
    assert len(schema.NEO_RECORDS.schema) == 17


@pytest.mark.parametrize("table", METRICS.tables.values(), ids=lambda table: table.name)
def test_every_field_is_described(table: Table) -> None:
    assert table.description
    for one in table.schema:
        assert set(one.metadata) == {b"description", b"unit", b"source"}
        assert one.metadata[b"description"]


@pytest.mark.parametrize("table", METRICS.tables.values(), ids=lambda table: table.name)
def test_every_quantity_has_a_unit(table: Table) -> None:
    quantities = [one for one in table.schema if pa.types.is_floating(one.type) or pa.types.is_temporal(one.type)]
    assert {one.name for one in quantities if not one.metadata[b"unit"]} <= {"orbit_determined_at"}, (
        "it has no time zone"
    )


@pytest.mark.parametrize("metric", METRICS.adding_up, ids=lambda metric: metric.name)
def test_a_total_has_the_columns_of_the_table_it_sums(metric: Metric) -> None:
    assert metric.counts
    assert metric.total.schema.equals(metric.counts.schema, check_metadata=True)
    assert (metric.counts.partitioned, metric.total.partitioned) == (True, False)


def test_tables_over_the_whole_lake_are_not_partitioned() -> None:
    whole = {name for name, table in METRICS.tables.items() if not table.partitioned}
    assert whole == {*(total.name for total in METRICS.every_total), "catalogue_stats", "heartbeat", "snapshot"}
