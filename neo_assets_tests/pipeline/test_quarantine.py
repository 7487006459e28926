"""Records that cannot be read: listed with reasons, and read again once the page or the program is fixed."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click import ClickException

from neo_assets.cli import main as cli
from neo_assets.lake import owner
from neo_assets.lake.layout import raw_page
from neo_assets.lake.raw_pages import read_page, stored_numbers, write_page
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.quarantine import discard, quarantined
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.cli.landing import Zone, counted, lines, neos, totals
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import NOON, body
from neo_assets_tests.sources.neows.examples import neo as neo_of

pytestmark = pytest.mark.slow


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
    assert "page set 00000-00000, page 0, near_earth_objects[" in (printed := capsys.readouterr().out)
    assert "close_approach_data[0].miss_distance.kilometers" in printed
    assert "about a million" in printed
    assert printed.endswith(f"({damaged.root}/bronze/raw_pages/page-00000.json.zst)\n")


def test_the_json_list_has_the_record_itself(damaged: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    neo("quarantine", "list", "--json")
    row = json.loads(capsys.readouterr().out)
    record = json.loads(row.pop("record"))
    assert record["close_approach_data"][0]["miss_distance"]["kilometers"] == "about a million"
    assert row.keys() == {"id", "page", "index", "reason", "page_set", "path", "file", "line"}
    assert row["path"] == "bronze/raw_pages/page-00000.json.zst"


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
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"1 record in quarantine before, 0 now\.\n"
        r"no longer in quarantine: [0-9a-f]{12} page set 00000-00000, page 0, near_earth_objects\[\d+\]\n",
        printed,
    )
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


# --- records that are given up


@pytest.fixture
def zone(lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zone:
    """A lake with three landed objects, and two landed lines that cannot be read."""
    for name, value in {"NEO_LAKE": lake.root, "NEO_PAGES": "4", "NEO_PAGES_PER_SET": "2"}.items():
        monkeypatch.setenv(name, value)
    zone = Zone(lake, tmp_path)
    zone.drop("a.ndjson", lines(*neos(0, 3), {"id": "x"}) + b"no JSON")
    zone.land()
    capsys.readouterr()
    return zone


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    capsys.readouterr()
    neo("quarantine", "list", *options)
    return capsys.readouterr().out.splitlines()


@disk_and_s3
def test_a_discarded_record_leaves_the_list_and_the_verdict_for_good(
    zone: Zone, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (line.split()[0] for line in listed(capsys))
    neo("quarantine", "discard", first, "--reason", "our own test")
    assert capsys.readouterr().out == "1 record discarded, 1 left in quarantine.\n"
    assert [line.split()[0] for line in listed(capsys)] == [second]
    assert "records in quarantine: 1" in zone.total().reasons
    neo("quarantine", "discard", second[:6], "--reason", "cut off")
    zone.drop("b.ndjson", lines(*neos(3, 1)) + b"no JSON")
    capsys.readouterr()
    neo("land")
    assert capsys.readouterr().out.startswith("b.ndjson: 2 objects, 1 of them discarded before\n")
    neo("recompute", "landed")
    neo("quarantine", "replay")
    assert listed(capsys) == []
    assert totals(zone) == counted(neos(0, 4))
    assert not [reason for reason in zone.total().reasons if "quarantine" in reason]
    neo("quarantine", "list")
    assert capsys.readouterr().err == (
        "The quarantine is empty.\n2 records were discarded: `neo quarantine list --discarded` shows them.\n"
    )


def test_discarded_records_are_listed_with_the_reason_and_kept_whole(
    zone: Zone, capsys: pytest.CaptureFixture[str]
) -> None:
    neo("quarantine", "discard", "--all", "--reason", "our own test")
    assert capsys.readouterr().out == "2 records discarded, 0 left in quarantine.\n"
    today = f"discarded {datetime.now(UTC):%Y-%m-%d} "
    for line in listed(capsys, "--discarded"):
        assert re.match(r"\w+ a\.ndjson, line [45]: ", line)
        assert today in line
        assert line.endswith(": our own test")
    kept = [json.loads(line) for line in listed(capsys, "--discarded", "--json")]
    assert {one["was"]["record"] for one in kept} == {'{"id":"x"}', '"no JSON"'}
    for number in stored_numbers(zone.lake):
        zone.lake.delete(raw_page(number))
    zone.land()
    assert len(listed(capsys, "--discarded")) == 2


def test_a_landed_record_is_named_by_its_line(zone: Zone, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a large file, which is stored as several pages, and beside blank lines."""
    neo("quarantine", "discard", "--all", "--reason", "our own test")
    zone.drop("big.ndjson", lines(*neos(10, 250)) + b"\n\nbad\n" + lines(*neos(300, 1)) + b"\nworse")
    zone.land()
    assert [line.split()[1:4] for line in sorted(listed(capsys), key=len)] == [
        ["big.ndjson,", "line", "253:"],
        ["big.ndjson,", "line", "256:"],
    ]
    for number in stored_numbers(zone.lake):
        zone.lake.write(raw_page(number), b"damaged")
    assert len(listed(capsys)) == 2, "the table tells what is known without the pages"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give the ids of the records, or --all"),
        (("0", "--all"), "give the ids of the records, or --all"),
        (("xyz",), "no record starts with xyz (`neo quarantine list` shows all)"),
        (("",), "several records start with : give more of the id (`neo quarantine list` shows all)"),
    ],
)
def test_nothing_is_discarded_if_it_is_not_clear_what(
    zone: Zone, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ClickException) as caught:
        neo("quarantine", "discard", *arguments, "--reason", "our own test")
    assert caught.value.message == message
    assert len(listed(capsys)) == 2


def test_a_discard_needs_a_reason(zone: Zone, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClickException) as caught:
        neo("quarantine", "discard", "--all")
    assert caught.value.format_message() == "Missing option '--reason'."
    assert len(listed(capsys)) == 2


def test_discards_that_are_damaged_count_as_none(zone: Zone, capsys: pytest.CaptureFixture[str]) -> None:
    neo("quarantine", "discard", "--all", "--reason", "our own test")
    [file] = zone.lake.files("quarantine/discarded")
    whole = zone.lake.read(file.path).to_pybytes()
    zone.lake.write(file.path, whole[10:])
    capsys.readouterr()
    assert len(listed(capsys)) == 1
    assert zone.total().verdict == "incomplete"


def test_a_record_given_up_on_a_page_makes_no_neo_missing(lake: Storage) -> None:
    bad = neo_of("1", name=None)
    others = [neo_of(str(number)) for number in range(2, 21)]
    content = body(bad, *others, total=20)
    gather(lake, "00000-00000", [Page(0, content, NOON, "simulator", 20, 20)])
    keys = ["00000-00000"]
    assert Snapshot(lake, METRICS, keys).verdict == "incomplete"
    discard(lake, quarantined(lake, keys), "our own test")
    assert Snapshot(lake, METRICS, keys).verdict == "consistent"
