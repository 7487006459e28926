"""The dataset card: its metadata is what Hugging Face reads, its text describes every column, its lines load data."""

import importlib
import re
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from neo_assets.products.release.card import size_category
from neo_assets_tests.products.release.by_hand import TABLES, front_matter, manifest


def card(release: Path) -> str:
    return (release / "README.md").read_text(encoding="utf-8")


def test_the_metadata_is_what_hugging_face_reads(release: Path) -> None:
    front = front_matter(release)
    assert front["language"] == ["en"]
    assert front["license"] == "other", "the others are licences that no one has given"
    assert (release / front["license_link"]).is_file()
    assert re.fullmatch(r"[a-z0-9-.]+", front["license_name"])
    assert front["size_categories"] == ["n<1K"]
    assert {one["config_name"] for one in front["configs"]} == TABLES
    assert [one["config_name"] for one in front["configs"] if one.get("default")] == ["close_approaches"]
    for one in front["configs"]:
        [file] = one["data_files"]
        path = file["path"]
        assert file["split"] == "train"
        assert path == f"{one['config_name']}{Path(path).suffix}"
        assert (release / path).is_file()


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (950_000, "100K<n<1M"), (9_999_999, "1M<n<10M")],
)
def test_sizes_have_hugging_faces_names(rows: int, category: str) -> None:
    assert size_category(rows) == category


def test_simulated_data_are_marked_in_title_and_text_and_nasas_are_not(simulated: Path, nasas: Path) -> None:
    front = front_matter(simulated)
    assert "(simulated)" in front["pretty_name"]
    assert "simulated" in front["tags"]
    assert "\n# Near-Earth objects and their close approaches (simulated)\n" in card(simulated)
    assert "> **Simulated.**" in card(simulated)
    assert "api.nasa.gov" not in card(simulated), "it does not name a source that they are not from"
    assert "(simulated)" not in card(nasas)
    assert "Simulated" not in card(nasas)
    assert "simulated" not in front_matter(nasas)["tags"]
    assert "(https://api.nasa.gov/)" in card(nasas)


def test_every_file_and_every_column_is_described(release: Path) -> None:
    text = card(release)
    for file in manifest(release)["files"]:
        if "rows" in file:
            assert f"| `{file['name']}` | {file['rows']:,} | " in text
    for file in release.glob("*.parquet"):
        section = text.split(f"\n## {file.stem}\n")[1].split("\n## ")[0]
        described = re.findall(r"^\| `(\w+)` \| [A-Z]+ \| .* \| .+ \|$", section, re.MULTILINE)
        assert described == pq.read_schema(file).names


def test_the_verdict_is_in_it_and_a_drifted_one_is_pointed_out(simulated: Path) -> None:
    assert f"It is **{manifest(simulated)['snapshot']['verdict']}** (" in card(simulated)
    assert "> **Released although drifted.**" in card(simulated)


def test_its_lines_load_the_data(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(simulated)
    lines = re.findall(r"^\| [^|`]+ \| `((duckdb|pandas|polars|datasets)\..+)` \|$", card(simulated), re.MULTILINE)
    assert [library for _, library in lines] == ["duckdb", "pandas", "polars", "datasets"]
    for line, library in lines:
        if library != "datasets":
            eval(line, {library: importlib.import_module(library)})


def test_its_views_are_those_of_the_database(simulated: Path) -> None:
    with duckdb.connect(str(simulated / "neo.duckdb"), read_only=True) as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL").fetchall()
    [named] = re.findall(r"and views: (.*?)\. It opens", card(simulated))
    assert named == ", ".join(f"`{name}`" for (name,) in views)
