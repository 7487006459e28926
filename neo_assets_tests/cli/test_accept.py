"""`neo accept`: what is out of bounds, and accepting it."""

import json
from collections.abc import Callable
from datetime import timedelta

import pyarrow as pa
import pytest

from neo_assets.lake import layout, owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import accepted
from neo_assets.pipeline.bounds import BOUNDS
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import CATALOGUE_STATS, SNAPSHOT
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.sources.neows.examples import NOON

KEYS = page_set_keys(4, 2)
LOST = "neos_are_not_lost"

Neo = Callable[..., Ended]


@pytest.fixture
def lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A lake with four pages."""
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "4")
    monkeypatch.setenv("NEO_RAW_MAX_AGE_HOURS", "1000000")
    owner.claim(lake, "simulator")
    fetch(lake, 80)
    return lake


def fetch(lake: Storage, neos: int, hours: float = 0) -> None:
    for key in KEYS:
        gather(lake, key, pages_from(Catalogue(neos), key, hours))
    total(lake, KEYS)


def accept(lake: Storage) -> None:
    accepted.accept(lake, accepted.standings(lake, METRICS, KEYS), "the first")


def records(lake: Storage) -> list[str]:
    return [info.path for info in lake.files(layout.ACCEPTED)]


def test_before_a_snapshot_is_accepted_nothing_is_compared(lake: Storage, neo: Neo) -> None:
    ended = neo("accept")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [f"{name}: no snapshot of 4 pages is accepted yet" for name in BOUNDS]


def test_the_first_snapshot_can_be_accepted_by_hand(lake: Storage, neo: Neo) -> None:
    """The catalogue may never stand still for long enough."""
    assert neo("accept", "--bound", LOST, "--reason", "seen at NASA").code == 0
    fetch(lake, 70, hours=1)
    assert f"{LOST}: OUT OF BOUNDS: NEOs: 70 instead of 80; allowed: 0.5 % (" in neo("accept").out


def test_within_bounds_there_is_nothing_to_accept(lake: Storage, neo: Neo) -> None:
    accept(lake)
    ended = neo("accept")
    assert (ended.code, ended.err) == (0, "")
    assert all(": within bounds (accepted 20" in line for line in ended.out.splitlines())
    assert ended.out.count(": the first)") == len(BOUNDS)
    ended = neo("accept", "--bound", LOST, "--reason", "to be sure")
    assert (ended.code, ended.err) == (0, "Nothing of this is out of bounds, so nothing was accepted.\n")
    assert len(records(lake)) == 1


@disk_and_s3
def test_what_is_out_of_bounds_is_explained_and_accepted_by_name(lake: Storage, neo: Neo) -> None:
    accept(lake)
    fetch(lake, 60, hours=1)
    ended = neo("accept")
    assert ended.code == 0
    out = [line.partition(":")[0] for line in ended.out.splitlines() if "OUT OF BOUNDS" in line]
    assert LOST in out
    assert len(out) > 1
    assert "`neo accept --bound NAME --reason WHY` accepts them" in ended.err
    assert len(records(lake)) == 1

    ended = neo("accept", "--bound", LOST, "--bound", LOST, "--reason", "NASA withdrew them")
    assert ended.code == 0
    assert ended.out.endswith(f"Accepted: {LOST}. The checks follow when the totals are next computed.\n")
    record = json.loads(lake.read(records(lake)[-1]).to_pybytes())
    assert (record["bounds"], record["why"]) == ([LOST], "NASA withdrew them")
    assert "@" in record["who"]
    left = [line.partition(":")[0] for line in neo("accept").out.splitlines() if "OUT OF BOUNDS" in line]
    assert left == [name for name in out if name != LOST]

    others = [word for name in left for word in ("--bound", name)]
    assert neo("accept", *others, "--reason", "these too").code == 0
    assert "OUT OF BOUNDS" not in neo("accept").out
    fetch(lake, 50, hours=2)
    assert f"{LOST}: OUT OF BOUNDS" in neo("accept").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bound", "neos", "--reason", "why not"], LOST),
        (["--bound", LOST], "--reason is missing"),
        (["--bound", LOST, "--reason", "  "], "--reason is missing"),
        (["--reason", "because"], "--reason needs --bound"),
    ],
)
def test_wrong_arguments_are_explained(lake: Storage, neo: Neo, arguments: list[str], says: str) -> None:
    ended = neo("accept", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert records(lake) == []


def test_totals_that_are_out_of_date_are_not_judged(lake: Storage, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_PAGES", "2")
    ended = neo("accept")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: the totals are out of date, so there is nothing to judge: run `neo run` first\n"


def test_an_empty_lake_names_the_way_out(lake: Storage, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_LAKE", f"{lake.root}-empty")
    ended = neo("accept")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("is missing: run `neo run`, or materialize total_near_misses\n")


@pytest.mark.slow
def test_a_run_accepts_the_first_snapshot_and_prints_what_is_out_of_bounds_until_it_is_accepted(
    lake: Storage, neo: Neo
) -> None:
    before = dict(zip(CATALOGUE_STATS.schema.names, (NOON - timedelta(days=1), 1, 1), strict=True))
    tables.write_table(lake, CATALOGUE_STATS, pa.Table.from_pylist([before], schema=CATALOGUE_STATS.schema))

    def computed_from(neos: int, hours: float) -> str:
        """What `neo run` prints after the stored pages have changed."""
        fetch(lake, neos, hours)
        lake.delete(layout.table_file(SNAPSHOT))
        ended = neo("run")
        assert ended.code == 0
        return ended.err

    assert LOST not in computed_from(80, 0)
    [first] = records(lake)
    for hours in (1, 2):
        assert f"  ERROR: snapshot {LOST}: NEOs: 70 instead of 80, allowed: 0.5 %, " in computed_from(70, hours)
        assert records(lake) == [first]
    for name in BOUNDS:
        neo("accept", "--bound", name, "--reason", "NASA withdrew ten")
    assert LOST not in computed_from(70, 3)
    assert f"  ERROR: snapshot {LOST}: NEOs: 60 instead of 70" in computed_from(60, 4)
