"""The graph run by plain `dagster` and `dg` commands, as a user types them, without `neo`."""

import re
import shlex
from pathlib import Path

import pytest

from neo_assets.pipeline.totals import read_totals
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import CHECKOUT, Place, changed, counted, fingerprints, place
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.s3_server import VERSIONED

pytestmark = pytest.mark.slow

FIRST, SECOND = "00000-00001", "00002-00003"
OF_A_SET = {
    "bronze/raw_page_index",
    "silver/neo_records",
    "silver/orbits",
    "silver/close_approaches",
    "silver/neo_sightings",
    "quarantine",
    *(f"gold/{table.name}" for table in METRICS.counts),
}
TOTALS = {f"gold/{total.name}/data.parquet" for total in METRICS.totals}
OVER_CATALOGUE = {f"gold/{metric.total.name}/data.parquet" for metric in METRICS.over_catalogue}
SNAPSHOT = {"gold/snapshot/data.parquet"}
"""The verdict on all page sets, which follows `neo_records`."""
PRODUCTS = {
    f"products/{name}"
    for name in (
        *("neo.duckdb", "neos.parquet", "close_approaches.parquet"),
        *("upcoming.ics", "upcoming.csv", "index.json"),
        *("report.html", "report.csv"),
    )
}


def files(page_set: str) -> set[str]:
    """The table files of one page set."""
    return {f"{table}/page_set={page_set}/data.parquet" for table in OF_A_SET}


@pytest.fixture
def project(tmp_path: Path) -> Place:
    """A directory that `dg` accepts as the project."""
    at = place(tmp_path / "project", "dagster.yaml", "pyproject.toml")
    (at.path / "neo_assets").symlink_to(CHECKOUT / "neo_assets")
    return at


@pytest.fixture
def anywhere(lake_kind: str, request: pytest.FixtureRequest, here: Place) -> Place:
    """A directory with its lake in the default place or on S3."""
    if lake_kind == "s3":
        server = request.getfixturevalue("s3")
        here.settings |= {"NEO_LAKE": server.new_lake(VERSIONED), **server.settings()}
    return here


@disk_and_s3
def test_one_asset_of_one_page_set_and_then_its_downstream_assets(anywhere: Place) -> None:
    ended = anywhere.materialize("raw_pages", FIRST)
    assert ended.code == 0, ended.err
    raw = {f"bronze/raw_pages/page-{page:05d}.json.zst" for page in (0, 1)}
    before = fingerprints(anywhere.storage)
    assert before.keys() == {*raw, "lake.json", f"bronze/raw_page_index/page_set={FIRST}/data.parquet"}
    assert {path.name for path in anywhere.path.iterdir()} == {"dagster.yaml", "data"}
    on_disk = {"lake"} if anywhere.storage.is_local else set()
    kept = {path.name for path in (anywhere.path / "data").iterdir()} - on_disk
    assert all(name.startswith("dagster") for name in kept)

    ended = anywhere.materialize("+near_miss_count", FIRST)
    assert ended.code == 0, ended.err
    written = changed(before, fingerprints(anywhere.storage))
    assert written - {f"bronze/raw_page_index/page_set={FIRST}/data.parquet"} == {
        f"{table}/page_set={FIRST}/data.parquet"
        for table in OF_A_SET
        if table not in ("bronze/raw_page_index", "silver/neo_records", "silver/orbits")
        and (not table.startswith("gold/") or table == "gold/near_miss_count")
    }


def test_an_asset_of_one_page_set_with_all_upstream_assets(here: Place) -> None:
    """`*` selects everything upstream; `+` goes up one layer only, so nothing is fetched."""
    ended = here.materialize("*near_miss_count", FIRST)
    assert ended.code == 0, ended.err
    assert {"bronze/raw_pages/page-00001.json.zst", f"gold/near_miss_count/page_set={FIRST}/data.parquet"} <= (
        fingerprints(here.lake).keys()
    )


def test_the_whole_graph_for_one_page_set_and_then_for_another(anywhere: Place) -> None:
    """Materializing a set, and the totals and products with it, touches that set, the totals and the products only."""
    for done, page_set in enumerate((FIRST, SECOND), 1):
        before = fingerprints(anywhere.storage)
        ended = anywhere.materialize("raw_pages*", page_set)
        assert ended.code == 0, ended.err
        pages = {f"bronze/raw_pages/page-{page:05d}.json.zst" for page in (2 * done - 2, 2 * done - 1)}
        mark = {"lake.json"} if done == 1 else set()
        whole = TOTALS | OVER_CATALOGUE | SNAPSHOT | PRODUCTS | mark
        assert changed(before, fingerprints(anywhere.storage)) == files(page_set) | pages | whole

    after = fingerprints(anywhere.storage)
    ended = anywhere.materialize(",".join(total.name for total in METRICS.totals))
    assert ended.code == 0, ended.err
    assert changed(after, fingerprints(anywhere.storage)) == TOTALS
    totals = vars(read_totals(anywhere.storage, METRICS, [FIRST, SECOND]))
    expected = counted(Catalogue(), 80) | {"page_sets": 2, "page_sets_expected": 5}
    assert {name: totals[name] for name in expected} == expected


REFUSED = {
    "totals before any page set": (
        ("total_near_misses", None, {}),
        ["no totals to compute: {lake} has no near_miss_count for any page set yet", "`neo run`"],
    ),
    "tables before their pages": (
        ("neo_records", FIRST, {}),
        ["page 0 is not in the lake", "or materialize raw_pages for its page set"],
    ),
    "a wrong setting": (
        ("raw_pages", FIRST, {"NEO_PAGES": "lots"}),
        ["NEO_PAGES=lots is not allowed: give a whole number from 1 to 100000"],
    ),
    "no page set": (("raw_pages", None, {}), ["Asset has partitions, but no '--partition' option was provided"]),
    "an unknown page set": (
        ("raw_pages", "nope", {}),
        ["All selected assets must have a PartitionsDefinition containing the passed partition key"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_request_is_refused_with_a_reason(here: Place, case: str) -> None:
    (select, page_set, settings), words = REFUSED[case]
    ended = here.materialize(select, page_set, **settings)
    assert ended.code != 0
    for word in words:
        assert word.format(lake=here.lake) in ended.err
    assert {path.name for path in here.lake.glob("*")} <= {"audit"}, "the request is recorded, nothing else is done"


def test_the_readme_quotes_what_dagster_says_of_a_wrong_page_set() -> None:
    readme = (CHECKOUT / "README.md").read_text().replace("\n", " ")
    for case in ("no page set", "an unknown page set"):
        [words] = REFUSED[case][1]
        assert words in readme


def test_dagster_and_dg_accept_the_definitions(here: Place, project: Place) -> None:
    old = here.start("dagster", "definitions", "validate", "-m", "neo_assets.definitions")
    silent = project.path.parent / "dg.toml"
    silent.write_text("[cli.telemetry]\nenabled = false\n")  # as `make setup` has it
    new = project.start("dg", "check", "defs", DG_CLI_CONFIG=silent)
    for command in (old, new):
        ended = command.wait()
        assert ended.code == 0, ended.err
    assert not (project.path.parent / "home").exists()


def test_a_job_launched_without_a_page_set_says_which_there_are(project: Place) -> None:
    ended = project.run("dg", "launch", "--job", "recompute")
    assert ended.code == 1
    assert f"Failure: this run names no page set: launch it with a partition, one of {FIRST}, {SECOND}, " in ended.err
    assert [path.name for path in project.lake.glob("*")] == ["audit"]


def test_dg_launches_an_asset_of_a_page_set(project: Place) -> None:
    ended = project.run("dg", "launch", "--assets", "raw_pages", "--partition", FIRST)
    assert ended.code == 0, ended.err
    assert (project.lake / "bronze/raw_pages/page-00001.json.zst").is_file()
    assert {path.name for path in project.path.iterdir()} == {"dagster.yaml", "data", "neo_assets", "pyproject.toml"}


def test_duckdb_reads_the_tables_as_the_readme_shows(gathered: Place) -> None:
    [line] = re.findall(
        r"^\.venv/bin/python -c (\"import duckdb; .*\")$", (CHECKOUT / "README.md").read_text(), re.MULTILINE
    )
    ended = gathered.run("python", "-c", *shlex.split(line))
    assert ended.code == 0, ended.err
    assert re.search(r"Earth +│ +0\.\d+", ended.out)
