"""`CITATION.cff` fits the Citation File Format 1.2.0, and cites the source; the terms are those of the source."""

from datetime import date
from pathlib import Path
from typing import Any

import yaml

REQUIRED = {"cff-version", "message", "title", "authors"}
OF_DATA = {"abstract", "date-released", "identifiers", "keywords", "references", "type", "version"}
"""Keys that https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema.json allows."""


def citation(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((release / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def test_it_fits_the_format(release: Path) -> None:
    said = citation(release)
    assert said["cff-version"] == "1.2.0"
    assert said["type"] == "dataset"
    assert REQUIRED <= said.keys() <= REQUIRED | OF_DATA
    assert isinstance(said["version"], str)
    assert isinstance(said["date-released"], date)
    assert all(author.keys() == {"name"} for author in said["authors"])
    assert all({"type", "value"} <= one.keys() <= {"type", "value", "description"} for one in said["identifiers"])
    assert len(set(said["keywords"])) == len(said["keywords"])
    for one in said.get("references", []):
        assert one.keys() == {"type", "title", "authors", "url", "notes"}
        assert one["type"] == "database"
        assert one["url"].startswith("https://")


def test_it_cites_where_the_data_come_from(nasas: Path, simulated: Path) -> None:
    said = citation(nasas)
    assert [one["url"] for one in said["references"]] == [
        "https://api.nasa.gov/",
        "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html",
        "https://www.minorplanetcenter.net/",
        "https://cneos.jpl.nasa.gov/ca/",
    ]
    assert "imulated" not in str(said)
    assert "references" not in citation(simulated)
    assert "(simulated)" in citation(simulated)["title"]
    assert citation(simulated)["abstract"].startswith("Simulated data: ")


def test_the_terms_are_those_of_the_source(nasas: Path, simulated: Path) -> None:
    terms = (nasas / "LICENSE.md").read_text(encoding="utf-8")
    assert "for images and media" in terms
    assert "Minor Planet Center" in terms
    assert "17 U.S.C. § 105" in terms
    assert "simulated: the simulator of neo_assets made them up" in (simulated / "LICENSE.md").read_text()
