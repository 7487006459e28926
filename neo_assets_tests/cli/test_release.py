"""`neo release`: what is in the folder, what is refused and why, and that the same lake gives the same bytes."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.accepted import accept, standings
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.orchestration.checks.corrupting import FIRST, PAGE_SETS, Corrupted, made, with_column
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.products.release.by_hand import TEXTS, contents_of, manifest

Release = Callable[..., Ended]

SIMULATED = Catalogue(45)
DATA = {
    *("neos.parquet", "close_approaches.parquet", *(f"{total.name}.parquet" for total in METRICS.every_total)),
    *("snapshot.parquet", "dictionary.csv", "neo.duckdb"),
}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return made(tmp_path_factory.mktemp("right"), SIMULATED)


@pytest.fixture
def lake(right: Storage, lake: Storage) -> Storage:
    """A lake of three pages that passes all checks."""
    for info in right.files(""):
        lake.write(info.path, right.read(info.path))
    return lake


@pytest.fixture
def release(neo: Callable[..., Ended], lake: Storage) -> Release:
    return lambda *words, pages=3: neo("release", *map(str, words), NEO_LAKE=lake.root, NEO_PAGES=pages)


@disk_and_s3
def test_everything_is_in_the_folder_with_its_rows_and_digest(release: Release, tmp_path: Path, lake: Storage) -> None:
    folder = tmp_path / "neo-dataset"
    ended = release(folder)
    assert ended.code == 0, ended.err
    found = contents_of(folder)
    assert found.keys() == DATA | TEXTS | {"manifest.json", "SHA256SUMS"}
    for line in found["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert digest == hashlib.sha256(found[name]).hexdigest()
    assert found["SHA256SUMS"].count(b"\n") == len(found) - 1
    said = manifest(folder)
    assert [said["snapshot"][name] for name in ("source", "verdict", "neos", "page_sets")] == [
        *("simulator", "consistent", 45, 2)
    ]
    assert (said["released_even_if"], said["checks"]["errors"], said["checks"]["warnings"]) == (None, 0, [])
    for file in said["files"]:
        content = found[file["name"]]
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {file["name"] for file in said["files"]} == DATA | TEXTS
    rows = {file["name"]: file["rows"] for file in said["files"] if "rows" in file}
    for name in DATA - {"neo.duckdb", "dictionary.csv"}:
        table = pq.read_table(folder / name)
        assert table.num_rows == rows[name]
        assert tables.fact(table, "source") == "simulator"
    with duckdb.connect(str(folder / "neo.duckdb"), read_only=True) as connection:
        [(dictionary,)] = connection.execute("SELECT count(*) FROM dictionary").fetchall()
        assert connection.execute("SELECT is_simulated FROM snapshot").fetchall() == [(True,)]
    assert found["dictionary.csv"].count(b"\n") - 1 == dictionary == rows["dictionary.csv"]
    assert [line.split()[0] for line in ended.err.splitlines()[2:]] == [file["name"] for file in said["files"]]
    assert ended.out == (
        f"Released 45 NEOs and {rows['close_approaches.parquet']:,} close approaches of snapshot "
        f"{said['snapshot']['snapshot_id'][:12]} to {folder} (simulated: the objects are made up)\n"
    )


def test_the_same_lake_gives_the_same_bytes(release: Release, tmp_path: Path) -> None:
    release(tmp_path / "one")
    release(tmp_path / "other", "--even-if", "drifted")
    release(tmp_path / "other")
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "other")


def test_the_same_pages_in_another_lake_give_the_same_bytes_but_for_the_database(
    release: Release, neo: Callable[..., Ended], lake: Storage, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lake.root, copy)
    release(tmp_path / "one")
    assert neo("release", str(tmp_path / "other"), NEO_LAKE=copy, NEO_PAGES=3).code == 0
    one, other = contents_of(tmp_path / "one"), contents_of(tmp_path / "other")
    differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    assert differing <= {"neo.duckdb", "croissant.json", "manifest.json", "SHA256SUMS"}, "those name its digest"
    said, other_said = manifest(tmp_path / "one"), manifest(tmp_path / "other")
    files = {file["name"]: file for file in said.pop("files")}
    other_files = {file["name"]: file for file in other_said.pop("files")}
    assert said == other_said
    assert {name for name in files if files[name] != other_files[name]} == differing & {"neo.duckdb", "croissant.json"}
    assert "random identifier" in files["neo.duckdb"]["note"]


def test_a_new_release_replaces_the_former_one(release: Release, tmp_path: Path, lake: Storage) -> None:
    folder = tmp_path / "neo-dataset"
    release(folder)
    former = manifest(folder)["snapshot"]["snapshot_id"]
    for key in PAGE_SETS:
        gather(lake, key, pages_from(SIMULATED, key, hours=3))
    total(lake, PAGE_SETS)
    ended = release(folder)
    assert ended.code == 0, ended.err
    assert manifest(folder)["snapshot"]["snapshot_id"] != former
    assert contents_of(folder).keys() == DATA | TEXTS | {"manifest.json", "SHA256SUMS"}


def test_nothing_is_released_while_an_error_check_fails(release: Release, tmp_path: Path, lake: Storage) -> None:
    doubled = with_column("miss_distance_km", lambda values: pc.multiply(values, 2))
    Corrupted(lake).change(CLOSE_APPROACHES, doubled)
    ended = release(tmp_path / "neo-dataset", "--even-if", "drifted")
    assert (ended.code, ended.out) == (3, "")
    assert not (tmp_path / "neo-dataset").exists()
    listed = [line for line in ended.err.splitlines() if line.startswith("  ERROR: ")]
    assert any(f"close_approaches units_and_times_agree: page set {FIRST}: " in line for line in listed)
    assert f"Error: {len(listed)} asset checks fail (" in ended.err.splitlines()[-1]
    assert "), so nothing is released: " in ended.err


def drift(lake: Storage) -> None:
    """The catalogue lost a NEO while it was gathered, and someone has accepted that."""
    gather(lake, PAGE_SETS[1], pages_from(Catalogue(44), PAGE_SETS[1], hours=1))
    total(lake, PAGE_SETS)
    accept(lake, standings(lake, METRICS, PAGE_SETS), "it is right")


def test_a_drifted_snapshot_is_released_only_if_that_is_asked_for(
    release: Release, tmp_path: Path, lake: Storage
) -> None:
    drift(lake)
    ended = release(tmp_path / "neo-dataset")
    assert ended.code == 3
    assert ended.err.startswith("Error: the snapshot is drifted (catalogue size changed: 1")
    assert "`neo run --heal`" in ended.err
    assert "`--even-if drifted`" in ended.err
    assert not (tmp_path / "neo-dataset").exists()


def test_what_is_released_although_drifted_says_so_everywhere(release: Release, tmp_path: Path, lake: Storage) -> None:
    drift(lake)
    folder = tmp_path / "neo-dataset"
    ended = release(folder, "--even-if", "drifted")
    assert ended.code == 0, ended.err
    said = manifest(folder)
    assert (said["released_even_if"], said["snapshot"]["verdict"]) == ("drifted", "drifted")
    assert "catalogue size changed: 1" in said["snapshot"]["reasons"]
    assert "snapshot snapshot_is_consistent" in {one["check"] for one in said["checks"]["warnings"]}
    assert "> **Released although drifted.**" in (folder / "README.md").read_text(encoding="utf-8")
    for name in ("croissant.json", "CITATION.cff"):
        assert "the snapshot is drifted" in " ".join((folder / name).read_text(encoding="utf-8").split()), name


def test_an_incomplete_snapshot_is_never_released(release: Release, tmp_path: Path, lake: Storage) -> None:
    total(lake, page_set_keys(5, 2))
    ended = release(tmp_path / "neo-dataset", "--even-if", "drifted", pages=5)
    assert ended.code == 3
    assert ended.err.startswith("Error: the snapshot is incomplete (page sets missing: 2")
    assert "so nothing is released: `neo run` gathers what is missing" in ended.err
    assert not (tmp_path / "neo-dataset").exists()
    refused = release(tmp_path / "neo-dataset", "--even-if", "incomplete")
    assert refused.code == 2
    assert "'incomplete' is not 'drifted'" in refused.err


def test_totals_of_other_page_sets_are_not_released(release: Release, tmp_path: Path) -> None:
    ended = release(tmp_path / "neo-dataset", pages=4)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "set NEO_PAGES and NEO_PAGES_PER_SET as they were when its 2 page sets were gathered, or run" in ended.err


def test_an_empty_lake_says_what_to_run(neo: Callable[..., Ended], tmp_path: Path) -> None:
    ended = neo("release", str(tmp_path / "neo-dataset"), NEO_LAKE=tmp_path / "empty")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "run `neo run`" in ended.err
    assert not (tmp_path / "neo-dataset").exists()


def test_a_folder_with_other_files_or_in_the_lake_is_one_line(release: Release, tmp_path: Path, lake: Storage) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ended = release(tmp_path)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "name another folder" in ended.err or "name a folder outside" in ended.err
    ended = release(Path(lake.root) / "release")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "name a folder outside of it" in ended.err


def test_a_database_that_is_damaged_in_the_lake_is_made_again(release: Release, tmp_path: Path, lake: Storage) -> None:
    release(tmp_path / "one")
    lake.write("products/neo.duckdb", b"damaged")
    assert release(tmp_path / "other").code == 0
    assert json.loads((tmp_path / "other/manifest.json").read_text())["checks"]["errors"] == 0
