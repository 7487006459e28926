"""The page at `/` as a client receives it, without a browser: what it says and links, and which headers guard it."""

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.products import report
from neo_assets.products.calendar import CALENDAR
from neo_assets.products.index import store
from neo_assets_tests.api.conftest import client_of
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import FIRST, fill, in_days, make, rows
from neo_assets_tests.sources.neows.examples import approach, neo, page

SIMULATED = "Simulated data."
MOST_BYTES = 40_000


class Read(HTMLParser):
    """What a page holds: its text, the links, and the rows of its first table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links, self.rows, self.text = list[str](), list[list[str]](), ""
        self._open, self._in_cell = list[str](), False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self._open.append(tag)
        if tag in ("a", "link", "img", "script"):
            self.links += [said[name] or "" for name in ("href", "src") if name in said]
        if tag == "tr" and said.get("role"):
            self.rows.append([])
        if tag in ("td", "th"):
            self._in_cell = "role" in said
            if self._in_cell:
                self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell &= tag not in ("td", "th")
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in self._open or "script" in self._open:
            return
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data


def read(api: httpx.Client) -> Read:
    answer = api.get("/")
    assert answer.status_code == 200, answer.text
    return Read(answer.text)


def served(lake: Storage) -> Iterator[httpx.Client]:
    make(lake)
    with client_of(lake) as client:
        yield client


@pytest.fixture(scope="module")
def of_nasa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API over four NEOs, of which one passes Earth in 30 days and again in 90; data are said to be NASA's."""
    yield from served(fill(Storage(str(tmp_path_factory.mktemp("nasa") / "lake")), "nasa"))


def test_the_next_ten_approaches_to_earth_come_first_first(api: httpx.Client, served_lake: Storage) -> None:
    head, *shown = read(api).rows
    assert head[:2] == ["Time (UTC)", "Object"]
    expected = rows(
        served_lake,
        "SELECT strftime(close_approach_at, '%Y-%m-%d %H:%M'), name, format('{:,.2f}', miss_distance_ld), "
        "format('{:.5f}', miss_distance_au), format('{:.1f}', relative_velocity_km_s) FROM approaches "
        "WHERE orbiting_body = 'Earth' AND close_approach_at >= now() AT TIME ZONE 'UTC' "
        "ORDER BY close_approach_at LIMIT 10",
    )
    assert len(expected) == 10
    for row, (at, name, *numbers) in zip(shown, expected, strict=True):
        assert row[0].startswith(at)
        assert row[1].startswith(name)
        assert row[2:5] == numbers
        assert re.fullmatch(r"[\d,]+ to [\d,]+", row[5])


def test_an_approach_says_how_long_it_is_until_then(of_nasa: httpx.Client) -> None:
    _, soon, later = read(of_nasa).rows[:3]
    for (when, name, *_), days in ((soon, 30), (later, 90)):
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d 00:00 in ({days - 1}|{days - 2}) days", when)
        assert name == "10 XY"


def test_simulated_data_are_said_to_be(api: httpx.Client, of_nasa: httpx.Client) -> None:
    assert SIMULATED in read(api).text
    assert SIMULATED not in read(of_nasa).text


def test_names_lead_to_jpl_unless_they_are_made_up(api: httpx.Client, of_nasa: httpx.Client) -> None:
    assert "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr=10" in read(of_nasa).links
    assert not [link for link in read(api).links if "jpl" in link]


def test_how_fresh_the_data_are_is_said_in_words(api: httpx.Client, of_nasa: httpx.Client) -> None:
    assert "The snapshot is consistent" in read(api).text
    assert "less than an hour ago" in read(api).text
    assert re.search(r"\d+ days ago\s*2026-03-01 13:00", read(of_nasa).text)


def test_a_verdict_has_its_reasons(of_nasa: httpx.Client) -> None:
    text = read(of_nasa).text
    assert "The snapshot is drifted" in text
    assert report.VERDICTS["drifted"] in text
    assert "NEOs missing: 36" in text


def test_the_chart_has_words_and_a_table(api: httpx.Client, served_lake: Storage) -> None:
    html, text = api.get("/").text, read(api).text
    [finding] = re.findall(r'<svg [^>]*role="img" aria-label="Near misses of Earth per year\. ([^"]+)"', html)
    assert finding in text
    years = rows(
        served_lake,
        "SELECT count(DISTINCT year(close_approach_at)) FROM approaches WHERE orbiting_body = 'Earth' "
        "AND miss_distance_au < 0.2",
    )
    assert f"Table ({years[0][0]} rows)" in text
    assert html.count('<tr><th scope="row">') == years[0][0]


def test_every_link_leads_somewhere(api: httpx.Client) -> None:
    links = {link for link in read(api).links if link.startswith("/")}
    assert {"/docs", "/openapi.json", "/v1/snapshot"} <= links
    assert {link: api.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_files_are_linked_once_they_are_made(api: httpx.Client, served_lake: Storage) -> None:
    assert "neo report makes it" in read(api).text
    stored = {"/report": report.PAGE, "/feeds/upcoming.ics": CALENDAR}
    assert not stored.keys() & set(read(api).links)
    try:
        for name in stored.values():
            store(served_lake, name, b"made", "by hand", 0)
        assert stored.keys() <= set(read(api).links)
        assert "not made yet" not in read(api).text
    finally:
        for name in stored.values():
            served_lake.delete(f"products/{name}")


def test_it_is_small_and_needs_nothing_else(api: httpx.Client) -> None:
    answer = api.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(answer.content) < MOST_BYTES
    assert not re.search(r"<(link|script|img)[^>]+(href|src)=\"(?!data:)", answer.text)


def test_a_client_that_has_it_gets_it_no_second_time(api: httpx.Client) -> None:
    tag = api.get("/").headers["ETag"]
    again = api.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (api.head("/").status_code, api.head("/").content) == (200, b"")


def test_only_its_own_style_and_script_are_applied(api: httpx.Client) -> None:
    answer = api.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        [content] = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_name_is_never_markup_and_an_address_never_a_script(tmp_path: Path) -> None:
    lake = Storage(str(tmp_path / "lake"))
    owner.claim(lake, "nasa")
    evil = {"name": "<script>alert(1)</script>\"'&", "nasa_jpl_url": "javascript:alert(1)"}
    gather(lake, FIRST, [page(neo("1", approach(day=in_days(3)), **evil))])
    total(lake, [FIRST])
    for api in served(lake):
        html = api.get("/").text
        assert "alert(1)</script>" not in html
        assert "javascript:" not in html
        assert Read(html).rows[1][1] == evil["name"]


def test_without_any_approach_it_says_so(tmp_path: Path) -> None:
    lake = Storage(str(tmp_path / "lake"))
    owner.claim(lake, "nasa")
    gather(lake, FIRST, [page(neo("1"))])
    total(lake, [FIRST])
    for api in served(lake):
        found = read(api)
        assert "No approach to Earth is listed from now on." in found.text
        assert "The lake has no near miss of Earth." in found.text
        assert found.rows == []


def test_without_a_snapshot_it_says_what_to_run(tmp_path: Path) -> None:
    with client_of(Storage(str(tmp_path / "empty"))) as api:
        answer = api.get("/")
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("60", "no-store")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "<code>neo run</code>" in answer.text
        assert "`" not in Read(answer.text).text
        assert str(tmp_path) not in answer.text
