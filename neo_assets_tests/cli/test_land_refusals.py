"""What the landing zone refuses or must not keep: unreadable files, API keys, and files whose run was interrupted."""

import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from neo_assets.lake import landing_zone, owner, raw_pages, tables
from neo_assets.lake.landing_zone import Content, LandedFile
from neo_assets.lake.storage import LakeError, LakeUnreachable, Storage
from neo_assets.pipeline.quarantine import quarantined
from neo_assets.schema.pages import Page, PageFacts
from neo_assets_tests.cli.landing import COMPRESSIONS, KEY, Zone, counted, lines, neos, totals
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.sources.neows.examples import approach, body, neo

pytestmark = pytest.mark.slow


@pytest.fixture
def zone(lake: Storage, tmp_path: Path) -> Zone:
    return Zone(lake, tmp_path)


EXPECTED = "drop whole Browse pages as .json, and single NEOs as .ndjson, one on each line"

BAD_FILES = {
    "a.txt": (b"{}", "its name does not end in any of .json, .json.gz"),
    "a.json.bz2": (b"{}", "its name does not end in any of"),
    "json": (b"{}", "its name does not end in any of"),
    "empty.json": (b"", "it is empty"),
    "empty.json.gz": (gzip.compress(b""), "it is empty"),
    "empty.ndjson": (b"\n \n", "it is empty"),
    "page.html.json": (b"<html><body>Service Unavailable</body></html>", "it is not JSON: <html>"),
    "cut.json": (body(*neos(0))[:-20], "it is truncated"),
    "plain.json.zst": (body(*neos(0)), "it cannot be decompressed: "),
    "packed.json": (gzip.compress(body(*neos(0))), "it is not JSON: binary data"),
    "feed.json": (
        b'{"links":{},"element_count":1,"near_earth_objects":{"2026-02-01":[]}}',
        f"it is JSON, but a NeoWs feed, which lists the approaches of a few days, not a Browse page: {EXPECTED}",
    ),
    "object.json": (lines(*neos(0, 1)), f"it is JSON, but a single NEO, not a Browse page: {EXPECTED}"),
    "objects.json": (lines(*neos(0, 2)), f"it is JSON, but several documents, not a Browse page: {EXPECTED}"),
    "list.json": (json.dumps(neos(0, 2)).encode(), f"it is JSON, but a list of 2 items, not a Browse page: {EXPECTED}"),
    "null.json": (b" null\n", f"it is JSON, but null, not a Browse page: {EXPECTED}"),
    "text.json": (b'"page"', f"it is JSON, but a string, not a Browse page: {EXPECTED}"),
    "number.json": (b"4711", f"it is JSON, but a number, not a Browse page: {EXPECTED}"),
    "error.json": (
        b'{"error":{"code":"API_KEY_INVALID"}}',
        f"it is JSON, but an object without page and near_earth_objects, not a Browse page: {EXPECTED}",
    ),
    "trailing.json": (body(*neos(0)) + b"<html>", "it is JSON with other text after its end"),
    "odd-page.json": (
        b'{"page":{"number":"many"},"near_earth_objects":[]}',
        f"it is JSON, but an object whose page lacks number or total_elements, not a Browse page: {EXPECTED}",
    ),
    "size-5.json": (
        body(*neos(0, 5), number=1).replace(b'"size":20', b'"size":5'),
        "it is a page of 5 NEOs, not 20, so its page number has no meaning here: drop its objects as .ndjson instead",
    ),
    "many.json": (body(*neos(0, 21)).replace(b'"size":20,', b""), "it is a page of 21 NEOs"),
    "negative.json": (body(*neos(0), number=-1), "it is page -1, but pages are numbered from 0 to 99999"),
    "beyond.json": (body(*neos(0), number=100_000), "it is page 100000"),
    "feed-objects.json": (
        body(neo("1", approach()), neo("2", approach(), orbital_data=...)),
        "it is no Browse page: near_earth_objects[1] lacks orbital_data, like an object from NeoWs's feed",
    ),
    "detailed-feed-objects.json": (
        body(neo("1", approach()), neo("2", approach(), designation=...)),
        "it is no Browse page: near_earth_objects[1] lacks designation, like an object from NeoWs's feed",
    ),
    "latin-1.json": (body(neo(name="\xe9")).decode().encode("latin-1"), "it is not UTF-8"),
    "deep.json": (
        body(*neos(0))[:-1] + b',"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "it is JSON nested too deep",
    ),
    "long.json": (
        body(*neos(0))[:-1] + b',"long":' + b"9" * 5_000 + b"}",
        "it is JSON with a number too long to read",
    ),
    "array.ndjson": (b"[1,\n2,\n3]", f"none of its 3 lines is a single NEO: {EXPECTED}"),
    "page.ndjson": (body(*neos(0)), f"it holds whole responses, not single NEOs: {EXPECTED}"),
    "pages.ndjson": (
        body(*neos(0)) + b"\n\n" + body(*neos(20)),
        f"it holds whole responses, not single NEOs: {EXPECTED}",
    ),
    "sub/dir/a.csv": (b"a,b", "its name does not end in any of"),
}


@pytest.mark.usefixtures("no_finalizers")
class TestUnreadableFiles:
    @pytest.mark.parametrize("name", BAD_FILES)
    def test_it_is_set_aside_with_the_reason(self, zone: Zone, name: str) -> None:
        content, reason = BAD_FILES[name]
        zone.drop(name, content)
        report = zone.land()
        assert report.set_aside == [name]
        aside = zone.below("quarantine/landing")
        assert set(aside) == {name, f"{name}.reason.txt"}
        assert aside[name] == content
        stated = aside[f"{name}.reason.txt"].decode()
        assert stated.startswith(reason)
        assert stated.count("\n") == 1
        assert report.files[name] == f"SET ASIDE: {stated.rstrip()}"
        assert zone.below("landing") == {}
        assert raw_pages.stored_numbers(zone.lake) == []
        assert owner.source_of(zone.lake) is None
        assert zone.ran == set()

    def test_control_characters_in_its_name_are_printed_escaped(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path)
        zone.drop("a\n\x1b[31mb\u2028.txt", b"{}")
        zone.drop("c\td é.ndjson", lines(*neos(0, 2), {"id": "1"}))
        report = zone.land()
        assert list(report.files) == ["a\\n\\x1b[31mb\\u2028.txt", "c\\td é.ndjson"]
        assert "\n" not in "".join(report.lines)
        assert [one.place for one in quarantined(zone.lake, zone.keys)] == ["c\\td é.ndjson, line 3"]
        assert "a\n\x1b[31mb\u2028.txt" in zone.below("quarantine/landing")

    def test_the_other_files_are_taken_in(self, zone: Zone) -> None:
        zone.drop("a.json", b"nonsense")
        zone.drop("b.ndjson", lines(*neos(0, 3)))
        report = zone.land()
        assert report.set_aside == ["a.json"]
        assert totals(zone) == counted(neos(0, 3))

    def test_a_second_of_the_same_name_does_not_replace_the_first(self, zone: Zone) -> None:
        for content in (b"one", b"two", b"three"):
            zone.drop("a.b.json.gz", content)
            zone.land()
        aside = zone.below("quarantine/landing")
        assert {aside["a.b.json.gz"], aside["a-2.b.json.gz"], aside["a-3.b.json.gz"]} == {b"one", b"two", b"three"}
        assert len(aside) == 6

    @disk_and_s3
    def test_files_put_back_with_their_reasons_are_read_again(self, zone: Zone) -> None:
        zone.drop("a.json", b"nonsense")
        zone.land()
        for name in zone.below("quarantine/landing"):
            zone.lake.move(f"quarantine/landing/{name}", f"landing/{name}")
        zone.drop("a.json", body(*neos(0), number=9))
        assert list(zone.land().files) == ["a.json"]
        assert list(zone.below("archive")) == ["a.json"]

    def test_a_page_set_that_cannot_be_computed_does_not_stop_the_rest(self, zone: Zone) -> None:
        for number in (0, 1, 2):
            zone.fetched(number, *neos(20 * number))
        page = "bronze/raw_pages/page-00001.json.zst"
        zone.lake.write(page, b"damaged" + zone.lake.read(page).to_pybytes()[7:])
        zone.drop("0.json", body(*neos(0), number=0))
        zone.drop("3.json", body(*neos(60), number=3))
        report = zone.land()
        assert (
            "page set 00000-00001: FAILED: page 1 cannot be read: `neo run` fetches damaged pages again" in report.lines
        )
        assert totals(zone) == counted(neos(40, 40))
        assert set(zone.below("archive")) == {"0.json", "3.json"}


def noisy(key: str) -> bytes:
    """Lines that hardly shrink when compressed, each with a key."""
    return b"".join(
        b'{"see": "?api_key=%s", "noise": "%s"}\n' % (key.encode(), os.urandom(50).hex().encode()) for _ in range(900)
    )


DAMAGED = {
    "cut.json.gz": gzip.compress(body(*neos(0)))[:-9],
    "cut.ndjson.gz": gzip.compress(lines(*neos(0, 900)))[:-9],
    "cut.ndjson.zst": pa.compress(lines(*neos(0, 900)), "zstd", asbytes=True)[:-9],
    "keys.ndjson.gz": gzip.compress(noisy(KEY))[:-9],
    "keys.ndjson.zst": pa.compress(noisy(KEY), "zstd", asbytes=True)[:-9],
    "flipped.ndjson.gz": (data := gzip.compress(noisy(KEY)))[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:],
    "named as if plain.json": gzip.compress(noisy(KEY))[:-9],
    "not ours.tar.gz": gzip.compress(noisy(KEY))[:-9],
}


class TestDamagedFiles:
    """What cannot be decompressed cannot be searched for keys, so it is copied nowhere."""

    @pytest.mark.parametrize("name", DAMAGED)
    def test_it_stays_in_the_landing_zone(self, lake: Storage, tmp_path: Path, name: str) -> None:
        zone = Zone(lake, tmp_path, nasa_api_keys=KEY)
        zone.drop(name, DAMAGED[name])
        zone.drop("b.ndjson", lines(*neos(0, 3)))
        report = zone.land()
        assert report.files[name].startswith("LEFT IN PLACE: it cannot be decompressed (")
        assert report.files[name].endswith("), nor searched for API keys: replace or delete it")
        assert zone.below("landing") == {name: DAMAGED[name]}
        assert zone.below("quarantine/landing") == {}
        assert list(zone.below("archive")) == ["b.ndjson"]
        assert totals(zone) == counted(neos(0, 3))

    def test_a_whole_file_of_the_same_name_is_taken_in(self, zone: Zone) -> None:
        whole = gzip.compress(lines(*neos(0, 3)))
        for content in (whole[:-9], whole):
            zone.drop("a.ndjson.gz", content)
            zone.land()
        assert zone.below("landing") == {}
        assert totals(zone) == counted(neos(0, 3))


class TestKeys:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    @pytest.mark.parametrize("kind", ["json", "ndjson"])
    def test_no_key_is_kept_anywhere(self, lake: Storage, tmp_path: Path, kind: str, compression: str) -> None:
        zone = Zone(lake, tmp_path, nasa_api_keys=KEY)
        named = neo("3000001", links={"self": "http://api.nasa.gov/neo/rest/v1/neo/3000001?api_key=Somebody-elses"})
        by_value = neo("3000002", approach(), nasa_jpl_url=f"https://example.org/{KEY}")
        content = body(named, by_value, number=7) if kind == "json" else lines(named, by_value)
        name = f"{KEY}.{kind}{compression}"
        zone.drop(name, COMPRESSIONS[compression](content))
        zone.land()
        archived = zone.below("archive")
        assert list(archived) == [name.replace(KEY, "REDACTED")]
        kept = next(iter(archived.values()))
        if compression:
            codec = {".gz": "gzip", ".zst": "zstd"}[compression]
            kept = pa.CompressedInputStream(pa.BufferReader(kept), codec).read()
        assert kept == content.replace(KEY.encode(), b"REDACTED").replace(b"Somebody-elses", b"REDACTED")
        number = raw_pages.stored_numbers(zone.lake)[0]
        stored = bytes(raw_pages.read_page(zone.lake, number).body)
        assert b"REDACTED" in stored
        for secret in (KEY.encode(), b"Somebody-elses"):
            assert secret not in stored
            assert not [info.path for info in lake.files("") if secret in lake.read(info.path).to_pybytes()]

    def test_no_key_is_set_aside_or_printed(self, lake: Storage, tmp_path: Path) -> None:
        zone = Zone(lake, tmp_path, nasa_api_keys=KEY)
        zone.drop(f"browse?api_key={KEY}", f"see http://api.nasa.gov/?api_key={KEY}".encode())
        zone.drop("b.json", f"api_key={KEY}".encode())
        zone.drop("c.json.gz", gzip.compress(f'{{"see": "{KEY}"}}'.encode()))
        printed = "\n".join(zone.land().lines)
        aside = zone.below("quarantine/landing")
        assert gzip.decompress(aside.pop("c.json.gz")) == b'{"see": "REDACTED"}'
        assert KEY not in printed + str(aside)
        assert len(aside) == 5


class TestInterruptions:
    @pytest.mark.parametrize("when", ["stored", "archived"])
    def test_the_next_run_continues_with_the_same_result(
        self, zone: Zone, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        class Killed(BaseException):
            pass

        def killed(*_: object) -> None:
            raise Killed

        zone.fetched(1, *neos(20))
        zone.drop("0.json", body(*neos(0), number=0))
        zone.drop("a.ndjson.gz", gzip.compress(lines(*neos(10, 450))))
        with monkeypatch.context() as patch:
            target, name = (Storage, "move") if when == "stored" else (tables, "write_table")
            patch.setattr(target, name, killed)
            with pytest.raises(Killed):
                zone.land()
        files = {"0.json", "a.ndjson.gz"}
        assert set(zone.below("landing" if when == "stored" else "archive")) == files
        before = raw_pages.stored_numbers(zone.lake)
        zone.land()
        assert set(raw_pages.stored_numbers(zone.lake)) >= set(before)
        assert zone.below("landing") == {}
        assert set(zone.below("archive")) == files
        assert totals(zone) == counted([*neos(0, 40), *neos(10, 450)])

    def test_files_stay_if_the_lake_cannot_be_written(self, disk_lake: Storage, tmp_path: Path) -> None:
        zone = Zone(disk_lake, tmp_path)
        zone.drop("a.ndjson", lines(*neos(0, 1)))
        zone.lake.write("bronze", b"a file instead of a directory")
        with pytest.raises(LakeError, match="there is a file where a directory is needed"):
            zone.land()
        assert list(zone.below("landing")) == ["a.ndjson"]

    @disk_and_s3
    def test_a_file_that_changes_while_it_is_read_is_taken_in_next_time(
        self, zone: Zone, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zone.drop("a.ndjson", lines(*neos(0, 1)))
        later = lines(*neos(0, 3))
        write = raw_pages.write_page

        def write_after_a_change(lake: Storage, page: Page, file: str | None = None) -> PageFacts:
            zone.drop("a.ndjson", later)
            return write(lake, page, file)

        with monkeypatch.context() as patch:
            patch.setattr(raw_pages, "write_page", write_after_a_change)
            assert zone.land().files == {"a.ndjson": "1 object, left in place, as it changed in the meantime"}
        zone.land()
        assert totals(zone) == counted(neos(0, 3))
        assert zone.below("archive") == {"a.ndjson": later}


@pytest.mark.parametrize(("content", "what"), [(lines(*neos(0, 1)), "1 object"), (b"nonsense", "none of its 1 lines")])
def test_a_file_that_another_process_moves_is_reported(
    zone: Zone, monkeypatch: pytest.MonkeyPatch, content: bytes, what: str
) -> None:
    zone.drop("a.ndjson", content)
    look, elsewhere = landing_zone.read, "archive/elsewhere"

    def read_then_move(lake: Storage, file: LandedFile) -> Content:
        found = look(lake, file)
        lake.move(file.path, elsewhere)
        return found

    monkeypatch.setattr(landing_zone, "read", read_then_move)
    report = zone.land()
    assert report.set_aside == []
    assert report.files["a.ndjson"].startswith(what)
    assert report.files["a.ndjson"].endswith(", another process moved it in the meantime")
    assert zone.lake.read(elsewhere).to_pybytes() == content


class Silent(Storage):
    """A lake that does not answer when a silver table is written."""

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        if path.startswith("silver/"):
            raise LakeUnreachable("S3 does not answer")
        return super().write(path, data)


def test_tables_not_computed_while_the_lake_was_silent_are_computed_next_time(
    disk_lake: Storage, tmp_path: Path
) -> None:
    zone = Zone(disk_lake, tmp_path)
    zone.fetched(1, *neos(20))
    zone.drop("0.json", body(*neos(0), number=0))
    with pytest.raises(LakeUnreachable, match="S3 does not answer"):
        Zone(Silent(disk_lake.root), tmp_path).land()
    assert zone.land().lines == ["page set 00000-00001: computed", "totals: computed"]
    assert totals(zone) == counted(neos(0, 40))
    assert list(zone.below("archive")) == ["0.json"]


def test_totals_that_a_landing_left_out_of_date_are_computed_at_the_next_look(zone: Zone) -> None:
    """As when `neo land` is killed after it computed the page sets."""
    zone.drop("a.ndjson", lines(*neos(0, 3)))
    zone.land()
    zone.lake.delete("gold/total_near_misses/data.parquet")
    assert zone.land().lines == ["totals: computed"]
    assert zone.land().lines == []
