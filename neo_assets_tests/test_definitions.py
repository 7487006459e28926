"""The code location as Dagster sees it: its exact assets, checks, jobs, schedules, sensors and resources."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.load import location_origins_from_yaml_paths
from dagster._core.workspace.load_target import get_origins_from_toml
from dagster_dg_core.context import DgContext
from pydantic import SecretStr

from neo_assets.definitions import build_defs
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

ADDING_UP = {"near_miss_count": {"close_approaches"}, "yearly_approaches": {"close_approaches"}}
"""Metrics with a table for each page set, and what they are computed from."""
TOTALS = {"near_miss_count": "total_near_misses", "yearly_approaches": "total_yearly_approaches"}
OVER_CATALOGUE = {
    "total_lunar_distance_passes": {"close_approaches"},
    "total_approaches_by_size_class": {"close_approaches", "neo_records"},
    "total_approaches_by_orbit_class": {"close_approaches", "orbits"},
    "total_approaches_by_hazard": {"close_approaches", "neo_records"},
    "total_closest_approach_per_decade": {"close_approaches"},
    "total_first_observations": {"neo_records"},
    "total_near_misses_by_time": {"close_approaches"},
    "total_approach_percentiles": {"close_approaches"},
}
"""Metrics of the whole catalogue only, and what they are computed from."""
DEPS = {
    "raw_pages": set(),
    "neo_records": {"raw_pages"},
    "orbits": {"raw_pages"},
    "close_approaches": {"raw_pages"},
    **ADDING_UP,
    **{TOTALS[name]: reads | {name, "neo_records", "landed_objects"} for name, reads in ADDING_UP.items()},
    **{name: reads | {"landed_objects", "snapshot"} for name, reads in OVER_CATALOGUE.items()},
    "catalogue_stats": set(),
    "heartbeat": set(),
    "landed_objects": set(),
    "snapshot": {
        *("raw_pages", "neo_records", *ADDING_UP, "total_yearly_approaches", "landed_objects", "catalogue_stats"),
    },
    "neo_database": {
        *(*TOTALS.values(), *OVER_CATALOGUE, "snapshot", "neo_records", "orbits", "close_approaches"),
        *("landed_objects", "raw_pages", *ADDING_UP, "catalogue_stats"),
    },
    "upcoming": {"snapshot", "neo_records", "close_approaches", "landed_objects"},
    "report": {"neo_database"},
}
GROUPS = {
    "bronze": {"raw_pages", "catalogue_stats", "heartbeat"},
    "silver": {"neo_records", "orbits", "close_approaches", "landed_objects"},
    "gold": {*ADDING_UP, *TOTALS.values(), *OVER_CATALOGUE, "snapshot"},
    "products": {"neo_database", "upcoming", "report"},
}
WHOLE = DEPS.keys() - {"raw_pages", "neo_records", "orbits", "close_approaches", *ADDING_UP}
"""Assets that are not partitioned."""
JOBS = {
    *("page_set", "recompute", "totals", "products", "stats", "one_heartbeat", "land", "landed"),
    *("requested_report", "collect_reports"),
}
TABLE_ASSETS = sorted(DEPS.keys() - {"raw_pages", "landed_objects"} - GROUPS["products"])
CHECKS = {
    *((asset, "rows_fit_the_schema") for asset in DEPS if asset not in GROUPS["products"]),
    ("raw_pages", "every_page_is_whole"),
    ("raw_pages", "catalogue_stood_still"),
    ("raw_pages", "keys_of_neows_are_known"),
    ("neo_records", "every_neo_is_read_once"),
    ("neo_records", "nothing_is_in_quarantine"),
    ("neo_records", "every_neo_is_everywhere"),
    ("neo_records", "diameter_follows_from_h"),
    ("neo_records", "hazard_follows_from_moid_and_h"),
    ("neo_records", "closest_approach_is_the_nearest"),
    ("orbits", "every_neo_has_an_orbit"),
    ("orbits", "elements_agree"),
    ("close_approaches", "units_and_times_agree"),
    ("close_approaches", "every_approach_is_read_once"),
    ("close_approaches", "known_events_are_there"),
    *((name, f"recount_of_{name}") for name in ADDING_UP),
    ("landed_objects", "every_neo_is_read_once"),
    ("landed_objects", "nothing_is_in_quarantine"),
    ("landed_objects", "every_neo_is_everywhere"),
    ("landed_objects", "diameter_follows_from_h"),
    ("landed_objects", "hazard_follows_from_moid_and_h"),
    ("landed_objects", "closest_approach_is_the_nearest"),
    ("landed_objects", "every_neo_has_an_orbit"),
    ("landed_objects", "elements_agree"),
    ("landed_objects", "units_and_times_agree"),
    ("landed_objects", "every_approach_is_read_once"),
    ("landed_objects", "known_events_are_there"),
    *(("landed_objects", f"recount_of_{name}") for name in ADDING_UP),
    ("neo_database", "database_is_whole"),
    ("upcoming", "calendar_shows_the_approaches"),
    ("report", "report_shows_the_snapshot"),
    ("heartbeat", "neows_is_in_order"),
    ("heartbeat", "neo_pages_cover_the_catalogue"),
    ("snapshot", "snapshot_is_consistent"),
    ("snapshot", "no_page_set_is_missing"),
    ("snapshot", "no_page_set_is_left_over"),
    ("snapshot", "no_page_is_too_old"),
    ("snapshot", "neos_are_not_lost"),
    ("snapshot", "near_misses_to_earth_are_steady"),
    ("snapshot", "shares_of_bodies_are_steady"),
    ("snapshot", "nulls_are_not_more"),
    *((total, check) for total in TOTALS.values() for check in ("each_neo_counts_once", "every_page_set_is_counted")),
    *((total, "each_neo_counts_once") for total in OVER_CATALOGUE),
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def defs(elsewhere: Path) -> dg.Definitions:
    return build_defs(settings(lake=str(elsewhere)))


@pytest.fixture(scope="module")
def graph(defs: dg.Definitions) -> Any:
    return defs.resolve_asset_graph()


def settings(**values: Any) -> Settings:
    """Settings that do not depend on the environment of the tests."""
    none = {"nasa_api_keys": (), "nasa_api_key": None, "base_url": "https://api.nasa.gov/neo/rest/v1"}
    return settings_of(**{"pages": 10, "pages_per_set": 2} | none | values)


def names(keys: Any) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_the_assets_and_their_dependencies_are_exactly_these(graph: Any) -> None:
    found = {key.to_user_string(): names(graph.get(key).parent_keys) for key in graph.get_all_asset_keys()}
    assert found == DEPS


def test_each_asset_is_in_the_group_of_its_layer(graph: Any) -> None:
    for group, members in GROUPS.items():
        assert names(key for key in graph.get_all_asset_keys() if graph.get(key).group_name == group) == members


def test_assets_made_from_pages_are_partitioned_by_page_set(graph: Any) -> None:
    keys = ["00000-00001", "00002-00003", "00004-00005", "00006-00007", "00008-00009"]
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        if key.to_user_string() in WHOLE:
            assert partitions is None
        else:
            assert isinstance(partitions, dg.StaticPartitionsDefinition)
            assert partitions.get_partition_keys() == keys


@pytest.mark.parametrize(
    ("pages", "pages_per_set", "keys"),
    [
        (1, 1, ["00000-00000"]),
        (1, 50, ["00000-00000"]),
        (5, 2, ["00000-00001", "00002-00003", "00004-00004"]),
        (100_000, 50_000, ["00000-49999", "50000-99999"]),
    ],
)
def test_the_settings_cut_the_pages_into_sets(pages: int, pages_per_set: int, keys: list[str], tmp_path: Path) -> None:
    some = settings(pages=pages, pages_per_set=pages_per_set, lake=str(tmp_path))
    graph = build_defs(some).resolve_asset_graph()
    partitions = graph.get(dg.AssetKey("raw_pages")).partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == keys


@pytest.mark.parametrize("name", DEPS)
def test_every_asset_has_a_description_an_owner_and_kinds(graph: Any, name: str) -> None:
    node = graph.get(dg.AssetKey(name))
    assert len(node.description) > 20
    assert node.description[0].isupper()
    assert node.description.rstrip().endswith(".")
    assert node.owners
    assert node.kinds


@pytest.mark.parametrize("name", TABLE_ASSETS)
def test_every_table_shows_the_columns_of_its_schema(graph: Any, name: str) -> None:
    node, table = graph.get(dg.AssetKey(name)), METRICS.tables[name]
    shown = node.metadata["dagster/column_schema"]
    shown = getattr(shown, "schema", shown)
    assert node.description.startswith(table.description)
    assert [(c.name, c.type, c.constraints.nullable, c.tags.get("unit", "")) for c in shown.columns] == [
        (c.name, str(c.type), c.nullable, c.unit) for c in table.columns
    ]
    for shown_column, column in zip(shown.columns, table.columns, strict=True):
        assert shown_column.description.startswith(column.description)


def test_the_checks_are_exactly_these(graph: Any) -> None:
    assert {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} == CHECKS


def test_the_list_of_checks_in_the_docs_is_complete() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (Path(__file__).parents[1] / "docs/checks.md").read_text(), re.MULTILINE)
    known = {"recount_of_METRIC" if name.startswith("recount_of_") else name for _, name in CHECKS}
    assert set(listed) == known | {"postgres_shows_the_snapshot"}


def test_tables_are_published_only_if_the_settings_name_a_database(graph: Any, elsewhere: Path) -> None:
    url = SecretStr("postgresql://user:secret@db.example.org/neo")
    published = build_defs(settings(lake=str(elsewhere), postgres_url=url)).resolve_asset_graph()
    [key] = published.get_all_asset_keys() - graph.get_all_asset_keys()
    assert key.to_user_string() == "published"
    node = published.get(key)
    assert node.group_name == "products"
    assert {parent.to_user_string() for parent in node.parent_keys} == DEPS["neo_database"]
    [check] = set(published.asset_check_keys) - set(graph.asset_check_keys)
    assert (check.asset_key, check.name) == (key, "postgres_shows_the_snapshot")


def test_every_check_has_a_description(graph: Any) -> None:
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).description, key


def test_jobs_schedules_and_sensors_are_exactly_these(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    assert {name for name in repository.job_names if not name.startswith("__")} == JOBS
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "daily_refresh",
        "daily_stats",
        "heartbeat",
        "report_collection",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "totals_follow_page_sets",
        "products_follow_totals",
        "landing",
        "landed_pages",
        "landed_objects",
        "alerts",
        "ended_runs",
        "requests",
    }


def test_every_job_schedule_and_sensor_has_a_description(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    jobs: list[Any] = [repository.get_job(name) for name in JOBS]
    for one in [*jobs, *repository.schedule_defs, *repository.sensor_defs]:
        assert len(one.description or "") > 20, one.name
        assert str(one.description).endswith("."), one.name


def test_partitioned_assets_say_what_their_keys_mean(graph: Any) -> None:
    for key in graph.get_all_asset_keys():
        explained = "`00000-00001` holds pages 0 to 1" in graph.get(key).description
        assert explained is (key.to_user_string() not in WHOLE)


def test_every_resource_is_used_and_none_is_missing(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    wanted = {key for asset in repository.assets_defs_by_key.values() for key in asset.required_resource_keys}
    wanted |= {key for check in repository.asset_checks_defs_by_key.values() for key in check.required_resource_keys}
    wanted -= {"io_manager"}  # Dagster's own default, which checks are given though they hand nothing on
    assert set(defs.resources or {}) == wanted == {"lake", "neows", "metrics", "raw_pages_io", "parquet_io"}


def test_the_lake_is_where_the_settings_say(defs: dg.Definitions, elsewhere: Path) -> None:
    assert defs.resources is not None
    with dg.build_resources({"lake": defs.resources["lake"]}) as resources:
        assert resources.lake.root == str(elsewhere)


def test_a_resource_can_be_replaced_and_the_io_managers_follow_it(tmp_path: Path, lake: Storage) -> None:
    defs = build_defs(settings(lake=str(tmp_path / "lake"), pages=1, pages_per_set=1), lake=lake)
    result = defs.resolve_job_def("page_set").execute_in_process(partition_key="00000-00000")
    assert result.success
    assert lake.info("gold/near_miss_count/page_set=00000-00000/data.parquet").is_file
    assert not (tmp_path / "lake").exists()


def test_building_reads_and_writes_nothing(elsewhere: Path, defs: dg.Definitions) -> None:
    assert defs
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"pages": 2100, "pages_per_set": 50},
        {"nasa_api_keys": "a-key-of-nasa,another-one"},
        {"nasa_api_keys": "some-key", "base_url": "http://127.0.0.1:1/neo/rest/v1"},
        {"lake": "s3://bucket/prefix"},
    ],
    ids=["by default", "whole catalogue", "NASA", "elsewhere", "S3"],
)
def test_the_definitions_load_with_any_settings(values: dict[str, Any], tmp_path: Path) -> None:
    dg.Definitions.validate_loadable(build_defs(settings(**{"lake": str(tmp_path)} | values)))


def test_steps_run_in_one_process(defs: dg.Definitions) -> None:
    assert defs.resolve_job_def("page_set").executor_def.name == "in_process"


def test_every_asset_shows_the_lake_and_the_source(defs: dg.Definitions, elsewhere: Path) -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.metadata["lake"] == dg.MetadataValue.path(str(elsewhere))
        assert spec.metadata["source of pages"] == dg.MetadataValue.text("the embedded simulator")


def test_the_code_location_has_one_name_however_dagster_is_started() -> None:
    """Switches of schedules and sensors belong to it: `dg dev`, `dagster dev` and workspace.yaml share them."""
    checkout = Path(__file__).parents[1]
    [workspace] = location_origins_from_yaml_paths([str(checkout / "workspace.yaml")])
    [pyproject] = get_origins_from_toml(str(checkout / "pyproject.toml"))
    project = DgContext.for_project_environment(checkout, {})
    names = {workspace.location_name, pyproject.location_name, project.code_location_name}
    assert names == {"neo_assets"}
