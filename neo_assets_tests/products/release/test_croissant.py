"""`croissant.json` keeps the rules of Croissant 1.0: required properties, files with digests, a field per column."""

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from neo_assets_tests.products.release.by_hand import TABLES

TYPES = {
    "string": "sc:Text",
    "double": "sc:Float",
    "int32": "sc:Integer",
    "int64": "sc:Integer",
    "bool": "sc:Boolean",
    "date32[day]": "sc:Date",
    "timestamp[ms]": "sc:DateTime",
    "timestamp[us]": "sc:DateTime",
    "timestamp[ms, tz=UTC]": "sc:DateTime",
    "timestamp[us, tz=UTC]": "sc:DateTime",
}


def croissant(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((release / "croissant.json").read_text(encoding="utf-8"))
    return found


def ids(node: Any) -> list[str]:
    """The ids that are defined, not referred to, anywhere in it."""
    if isinstance(node, dict):
        own = [node["@id"]] if {"@id", "@type"} <= node.keys() else []
        return own + [one for key, value in node.items() if key != "@context" for one in ids(value)]
    return [one for value in node for one in ids(value)] if isinstance(node, list) else []


def test_it_has_what_is_required(release: Path) -> None:
    said = croissant(release)
    assert said["@type"] == "sc:Dataset"
    assert said["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", said["name"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", said["datePublished"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])
    assert said["creator"]["@type"] == "Organization"
    assert all(said[name] for name in ("description", "license", "citeAs", "keywords"))
    known = said["@context"].keys() | {"@context", "@type", "@id", "fileObject", "extract"}
    schema_org = {"name", "alternateName", "description", "license", "creator", "datePublished", "version", "url"}
    assert said.keys() <= known | schema_org | {"identifier", "keywords", "distribution", "isBasedOn"}


def test_ids_are_unique_and_references_lead_somewhere(release: Path) -> None:
    said = croissant(release)
    defined = ids(said)
    assert len(set(defined)) == len(defined)
    for records in said["recordSet"]:
        for key in records.get("key", []):
            assert key["@id"] in defined
        for field in records["field"]:
            assert field["source"]["fileObject"]["@id"] in defined


def test_files_have_their_size_and_digest(release: Path) -> None:
    files = croissant(release)["distribution"]
    assert {one["name"] for one in files} == {
        one.name for one in release.iterdir() if one.suffix in (".parquet", ".csv", ".duckdb")
    }
    for one in files:
        assert one["@type"] == "cr:FileObject"
        assert one["contentUrl"] == one["name"]
        content = (release / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
        assert re.fullmatch(r"\w+/[\w.-]+", one["encodingFormat"])


def test_record_sets_have_every_column_with_its_type(release: Path) -> None:
    found = {records["name"]: records for records in croissant(release)["recordSet"]}
    assert found.keys() == TABLES
    for name, records in found.items():
        fields = {field["source"]["extract"]["column"]: field["dataType"] for field in records["field"]}
        assert all(field["description"] for field in records["field"])
        if name == "dictionary":
            with (release / "dictionary.csv").open(encoding="utf-8", newline="") as file:
                assert fields == dict.fromkeys(next(csv.reader(file)), "sc:Text")
        else:
            schema = pq.read_schema(release / f"{name}.parquet")
            assert fields == {column.name: TYPES[str(column.type)] for column in schema}
    assert [key["@id"] for key in found["close_approaches"]["key"]] == [
        "close_approaches/neo_id",
        "close_approaches/close_approach_at",
        "close_approaches/orbiting_body",
    ]


def test_simulated_data_are_marked_in_name_title_and_description(simulated: Path, nasas: Path) -> None:
    said = croissant(simulated)
    assert said["name"] == "simulated-near-earth-objects"
    assert "(simulated)" in said["alternateName"]
    assert said["description"].startswith("Simulated data: the objects are made up.")
    assert "made up" in said["citeAs"]
    assert "nasa.gov" not in about(said)
    assert "imulated" not in about(croissant(nasas))


def about(said: dict[str, Any]) -> str:
    """All that is said but of columns, whose meanings name their sources."""
    return json.dumps({name: value for name, value in said.items() if name != "recordSet"})
