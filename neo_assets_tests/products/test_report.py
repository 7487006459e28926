"""The report shows the snapshot and every figure, asks for nothing, and is made again only if something changed."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from neo_assets.lake import layout, owner
from neo_assets.lake.storage import LakeLacks, Storage
from neo_assets.products import database, index, report
from neo_assets.products.figures import figures
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import KEYS, SECOND, fill, make, rows
from neo_assets_tests.sources.neows.examples import approach, neo, page

FILES = ["report.html", "report.csv"]


def today() -> date:
    return datetime.now(UTC).date()


def page_of(lake: Storage) -> str:
    return bytes(lake.read("products/report.html")).decode()


def table_of(lake: Storage) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lake.read("products/report.csv").to_pybytes().decode())))


class ReplacedOnceOpened(Storage):
    """A lake whose database another process replaces, with one of a newer catalogue, right after it was opened."""

    opened = replaced = False

    def location(self, path: str) -> str:
        """Note that the database is opened."""
        self.opened |= path == layout.product(database.DATABASE)
        return super().location(path)

    def read(self, path: str) -> pa.Buffer:
        """Replace the database before the next look at the index."""
        if path == layout.PRODUCTS_INDEX and self.opened and not self.replaced:
            self.replaced = True
            lake = Storage(self.root)
            gather(lake, SECOND, [page(neo("4", approach()), number=1, hours=2)])
            total(lake, KEYS)
            make(lake)
        return super().read(path)


@pytest.fixture
def made(lake: Storage) -> Storage:
    make(fill(lake))
    report.make(lake, today())
    return lake


@pytest.fixture(scope="module")
def shown(simulated: Storage) -> str:
    report.make(simulated, today())
    return page_of(simulated)


def test_verdict_and_freshness_are_on_top(made: Storage) -> None:
    top = re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page_of(made).partition("<main>")[0]))
    assert "The snapshot is drifted" in top
    assert "NEOs seen twice: 1" in top
    assert "fetched from 2026-03-01 12:00 UTC to 2026-03-01 13:00 UTC" in top
    assert f"the oldest was fetched {(today() - date(2026, 3, 1)).days} days ago" in top
    assert "in 2 of 2 page sets" in top


def test_it_says_of_itself_what_it_shows(made: Storage) -> None:
    [(state,)] = rows(made, "SELECT snapshot_id FROM snapshot")
    charts = index.read(made)["report.html"].rows
    assert report.facts(page_of(made)) == {
        "snapshot": state,
        "verdict": "drifted",
        "source": "simulator",
        "charts": str(charts),
    }


def test_every_figure_has_a_chart_its_alternative_text_a_table_and_its_sql(shown: str) -> None:
    assert int(report.facts(shown)["charts"]) >= 8
    parts = re.findall(r'<figure id="([a-z_]+)".*?</figure>', shown, re.DOTALL)
    assert parts == [figure.name for figure in figures()]
    for figure in figures():
        [part] = re.findall(f'<figure id="{figure.name}".*?</figure>', shown, re.DOTALL)
        finding = re.findall(r'class="finding">([^<]*)<', part)
        assert "SELECT" in part
        assert (figure.none in finding) or ("<svg" in part and "<table>" in part and "<td" in part)


def test_it_is_small_and_asks_for_nothing(shown: str) -> None:
    assert len(shown) < 1_000_000
    assert not re.search(r"<(script|img|link|iframe|object|embed|base)\b|@import|url\((?!#)|srcset| on[a-z]+=", shown)
    assert "default-src 'none'" in shown


@pytest.mark.parametrize(("source", "marked"), [("simulator", True), ("nasa", False)])
def test_simulated_data_are_marked(lake: Storage, source: str, marked: bool) -> None:
    make(fill(lake, source))
    report.make(lake, today())
    shown = page_of(lake)
    assert ("Simulated" in shown) == marked
    assert shown.count(">simulated</small>") == (len(figures()) if marked else 0)
    assert ("https://ssd.jpl.nasa.gov" in shown) != marked, "made-up objects have no page at JPL"
    assert {row["source"] for row in table_of(lake)} == {source}


def test_what_neows_sends_is_escaped(lake: Storage) -> None:
    fill(lake, "nasa")
    evil = neo("10", approach(), name="<script>alert(1)</script>", nasa_jpl_url='https://a/"><b>')
    gather(lake, SECOND, [page(evil, number=1, hours=2)])
    total(lake, KEYS)
    make(lake)
    report.make(lake, today())
    shown = page_of(lake)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "<b>" not in shown


def test_the_table_has_every_neo_with_its_closest_approach(made: Storage) -> None:
    found = {row["neo_id"]: row for row in table_of(made)}
    assert list(found) == ["1", "10", "2", "3"]
    shown = {name: found["2"][name] for name in ("name", "closest_approach_at_utc", "orbiting_body", "is_predicted")}
    assert shown == {
        "name": "2 XY",
        "closest_approach_at_utc": "2001-02-03T00:00Z",
        "orbiting_body": "Earth",
        "is_predicted": "false",
    }
    assert (found["2"]["past_approaches"], found["2"]["predicted_approaches"]) == ("2", "0")
    assert (found["1"]["miss_distance_ld"], found["1"]["is_predicted"]) == ("0.9729", "true")
    assert {found["3"][name] for name in ("miss_distance_au", "is_predicted", "closest_to_earth_ld")} == {""}
    assert (found["3"]["absolute_magnitude_h_mag"], found["3"]["past_approaches"]) == ("", "0")


def test_the_closest_approach_is_that_of_the_neo_in_the_lake(simulated: Storage) -> None:
    report.make(simulated, today())
    known = rows(simulated, "SELECT id, closest_approach_date, closest_approach_miss_distance_km FROM neos ORDER BY id")
    found = [
        (row["neo_id"], row["closest_approach_at_utc"][:10], row["miss_distance_km"]) for row in table_of(simulated)
    ]
    assert [one[:2] for one in found] == [(id_, str(day or "")) for id_, day, _ in known]
    assert [float(km or "inf") for *_, km in found] == [km or float("inf") for *_, km in known]


@disk_and_s3
def test_the_same_data_and_day_give_the_same_bytes(made: Storage) -> None:
    before = index.read(made)
    assert report.make(made, today()) == {name: before[name] for name in FILES}
    for name in FILES:
        made.delete(layout.product(name))
    assert report.to_make(made, today()) == FILES
    after = report.make(made, today())
    assert [after[name].sha256 for name in FILES] == [before[name].sha256 for name in FILES]


def test_the_page_is_made_again_the_next_day_and_the_table_is_not(made: Storage) -> None:
    assert report.to_make(made, today()) == []
    assert report.to_make(made, today() + timedelta(days=1)) == ["report.html"]


def test_both_are_made_again_after_a_change_of_the_catalogue(made: Storage) -> None:
    gather(made, SECOND, [page(neo("4", approach()), number=1, hours=2)])
    total(made, KEYS)
    assert report.to_make(made, today()) == [], "not before there is a new database"
    make(made)
    assert report.to_make(made, today()) == FILES
    report.make(made, today())
    assert [row["neo_id"] for row in table_of(made)] == ["1", "2", "4"]


def test_there_must_be_a_database(lake: Storage) -> None:
    with pytest.raises(LakeLacks, match="has no database yet"):
        report.make(lake, today())


def test_a_snapshot_without_neos_has_a_page_too(lake: Storage) -> None:
    owner.claim(lake, "nasa")
    for number, key in enumerate(KEYS):
        gather(lake, key, [page(number=number)])
    total(lake, KEYS)
    make(lake)
    report.make(lake, today())
    assert report.facts(page_of(lake))["charts"] == "0"
    assert [shown for figure in figures() if (shown := figure.none) not in page_of(lake)] == []
    assert table_of(lake) == []


def test_today_is_that_of_utc_for_every_reader(shared: Storage) -> None:
    with database.opened(shared) as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_a_database_that_is_replaced_while_the_report_is_made_is_shown_the_next_time(lake: Storage) -> None:
    make(fill(lake))
    replaced = ReplacedOnceOpened(lake.root)
    report.make(replaced, today())
    assert replaced.replaced
    assert [row["neo_id"] for row in table_of(lake)] == ["1", "10", "2", "3"]
    assert report.to_make(lake, today()) == FILES
    report.make(lake, today())
    assert [row["neo_id"] for row in table_of(lake)] == ["1", "2", "4"]
