"""Records that cannot be read: listed with reasons, and read again once the page or the program is fixed."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from click import ClickException

from neo_assets.cli import main as cli
from neo_assets.lake import owner
from neo_assets.lake.raw_pages import read_page, write_page
from neo_assets.lake.storage import Storage
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.sources.simulator.catalogue import Catalogue, to_json


@dataclass
class Damaged:
    """A lake with one page, on which one approach cannot be read, and the settings that point to it."""

    lake: Storage
    settings: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """A damaged lake."""
    directory = tmp_path_factory.mktemp("damaged")
    lake = Storage(str(directory / "lake"))
    settings = {"NEO_LAKE": lake.root, "NEO_PAGES": "1", "NEO_PAGES_PER_SET": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for name, value in settings.items():
            patch.setenv(name, value)
        envelope = Catalogue().page(0)
        record = next(record for record in envelope["near_earth_objects"] if record["close_approach_data"])
        record["close_approach_data"][0]["miss_distance"]["kilometers"] = "about a million"
        size = envelope["page"]["total_elements"]
        owner.claim(lake, "simulator")
        write_page(lake, Page(0, to_json(envelope), datetime.now(UTC), "simulator", 20, size))
        neo("run")
    return Damaged(lake, settings)


@pytest.fixture
def damaged(place: Damaged, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Storage:
    for name, value in place.settings.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    return place.lake


def rewrite(lake: Storage, facts: PageFacts, envelope: dict[str, Any]) -> None:
    body = json.dumps(envelope).encode()
    write_page(lake, Page(0, body, facts.fetched_at, facts.source, facts.neos, facts.total_elements))


def neo(*arguments: str) -> None:
    cli.neo(list(arguments), standalone_mode=False)


def test_an_empty_quarantine_is_reported(
    lake: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEO_LAKE", lake.root)
    neo("quarantine", "list")
    assert capsys.readouterr() == ("", "The quarantine is empty.\n")


def test_each_record_is_listed_with_place_and_reason(damaged: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    neo("quarantine", "list")
    assert "page set 00000-00000, page 0, near_earth_objects[" in (listed := capsys.readouterr().out)
    assert "close_approach_data.miss_distance.kilometers" in listed
    assert "about a million" in listed


def test_the_json_list_has_the_record_itself(damaged: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    neo("quarantine", "list", "--json")
    row = json.loads(capsys.readouterr().out)
    record = json.loads(row.pop("record"))
    assert record["close_approach_data"][0]["miss_distance"]["kilometers"] == "about a million"
    assert row.keys() == {"page", "index", "reason", "page_set", "file"}


def test_a_record_in_quarantine_makes_the_snapshot_incomplete(
    damaged: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    neo("totals", "--json")
    totals = json.loads(capsys.readouterr().out)
    assert (totals["neos"], totals["verdict"]) == (19, "incomplete")
    assert "records in quarantine: 1" in totals["reasons"]


def test_replay_reads_a_fixed_record_without_the_network(
    damaged: Storage, capsys: pytest.CaptureFixture[str], no_network: None
) -> None:
    neo("quarantine", "replay")
    assert capsys.readouterr().out == "1 record in quarantine before, 1 now.\n"
    stored = read_page(damaged, 0)
    fixed = stored.body.to_pybytes().replace(b"about a million", b"1000000")
    rewrite(damaged, stored.facts, json.loads(fixed))
    neo("quarantine", "replay")
    assert capsys.readouterr().out == "1 record in quarantine before, 0 now.\n"
    neo("totals", "--json")
    assert json.loads(capsys.readouterr().out)["neos"] == 20


def test_replay_reports_a_page_set_with_a_damaged_page(
    damaged: Storage, capsys: pytest.CaptureFixture[str], no_network: None
) -> None:
    stored = damaged.read(page := "bronze/raw_pages/page-00000.json.zst").to_pybytes()
    broken = json.loads(read_page(damaged, 0).body.to_pybytes())
    broken["near_earth_objects"][0]["id"] = None
    broken["near_earth_objects"][0]["neo_reference_id"] = None
    rewrite(damaged, read_page(damaged, 0).facts, broken)
    neo("run")
    damaged.write(page, stored[:1000] + bytes([stored[1000] ^ 1]) + stored[1001:])
    with pytest.raises(ClickException, match=r"1 page set could not be read again; first error: .* is damaged"):
        neo("quarantine", "replay")
    assert "in quarantine before" in capsys.readouterr().out
