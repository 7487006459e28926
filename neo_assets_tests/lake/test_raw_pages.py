"""Stored pages: body and facts are read back unchanged, and any Zstandard reader can read the body."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.schema.pages import Page, PageFacts
from neo_assets.schema.tables import RAW_PAGE_INDEX
from neo_assets_tests.conftest import Lakes
from neo_assets_tests.s3_server import LAKES, S3Server, counting

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
BODY = json.dumps(
    {
        "page": {"number": 7, "total_elements": 1},
        "near_earth_objects": [{"name": "the Earth’s"}],
        "filler": list(range(3_000)),
    },
    ensure_ascii=False,
).encode()
PAGE = Page(7, BODY, NOON, "simulator", neos=1, total_elements=1)


@pytest.fixture
def stored(lake: Storage) -> str:
    """The path of a stored page."""
    raw_pages.write_page(lake, PAGE)
    return layout.raw_page(7)


@pytest.fixture
def object_file(disk_lake: Storage) -> Path:
    """A stored page on disk."""
    raw_pages.write_page(disk_lake, PAGE)
    return Path(disk_lake.location(layout.raw_page(7)))


pages = st.builds(
    Page,
    number=st.integers(0, 99_999),
    body=st.binary(max_size=2_000),
    fetched_at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-4))])),
    clock_at=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
    source=st.sampled_from(["nasa", "simulator"]),
    neos=st.integers(0, 20),
    total_elements=st.integers(0, 2**40),
)


def test_a_page_is_read_back_unchanged(lakes: Lakes) -> None:
    lake = lakes.new()

    @given(page=pages)
    @settings(max_examples=lakes.examples(40))
    def it_does(page: Page) -> None:
        facts = raw_pages.write_page(lake, page)
        stored = raw_pages.read_page(lake, page.number)
        assert stored.body.to_pybytes() == page.body
        assert stored.facts == facts == raw_pages.read_facts(lake, page.number)
        assert (stored.number, stored.fetched_at) == (page.number, page.fetched_at)

    it_does()


def test_the_facts_of_a_page(lake: Storage) -> None:
    assert raw_pages.write_page(lake, PAGE) == PageFacts(
        page=7,
        fetched_at=NOON,
        source="simulator",
        sha256=hashlib.sha256(BODY).hexdigest(),
        bytes=len(BODY),
        neos=1,
        total_elements=1,
        md5=hashlib.md5(lake.read(layout.raw_page(7))).hexdigest(),
        file=None,
    )


@pytest.mark.parametrize(
    ("file", "kept"),
    [
        ("sub/naïve 小行星.ndjson.gz", "sub/naïve 小行星.ndjson.gz"),
        (f"{'long ' * 200}name.json", "…g long name.json"),
        ("\udcff" * 300 + ".json", "….json"),
    ],
)
def test_the_name_of_the_landed_file_is_stored(lake: Storage, file: str, kept: str) -> None:
    facts = raw_pages.write_page(lake, PAGE, file)
    stored = raw_pages.read_page(lake, 7)
    assert stored.body.to_pybytes() == BODY
    assert stored.facts.file is not None
    assert stored.facts.file.startswith(kept[0])
    assert stored.facts.file.endswith(kept[1:])
    assert stored.facts.file.replace("?", "\udcff") == (facts.file or "")


def test_a_page_stored_by_an_earlier_version_is_read(lake: Storage, stored: str) -> None:
    """Neither the page nor the index has the facts that later versions added."""
    index = raw_pages.index([raw_pages.read_page(lake, 7).facts])
    assert b"file" not in lake.read(stored).to_pybytes()
    tables.write_table(lake, RAW_PAGE_INDEX, index, "00007-00007")
    old = tables.read_table(lake, RAW_PAGE_INDEX, "00007-00007").drop_columns(["file"])
    sink = pa.BufferOutputStream()
    pq.write_table(old, sink)
    lake.write("bronze/raw_page_index/page_set=00007-00007/data.parquet", sink.getvalue())
    known = raw_pages.known_facts(lake, ["00007-00007"])
    assert known == {"00007-00007": [raw_pages.read_page(lake, 7).facts]}
    assert tables.read_page_sets(lake, RAW_PAGE_INDEX, ["00007-00007"])["file"].to_pylist() == [None]


def test_a_page_whose_etag_is_no_md5_is_read_whole_once_and_then_known_by_its_etag(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an object encrypted with KMS, or copied in parts by another program."""
    lake = Storage(s3.new_lake())
    raw_pages.write_page(lake, PAGE)
    where = {"Bucket": LAKES, "Key": f"{lake.root.rpartition('/')[2]}/{layout.raw_page(7)}"}
    upload = where | {"UploadId": s3.client.create_multipart_upload(**where)["UploadId"]}
    part = s3.client.upload_part(**upload, PartNumber=1, Body=lake.read(layout.raw_page(7)).to_pybytes())
    s3.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    with counting(s3) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        lake = Storage(lake.root)
        (facts,) = raw_pages.known_facts(lake, ["00007-00007"])["00007-00007"]
        assert "-" in facts.md5
        tables.write_table(lake, RAW_PAGE_INDEX, raw_pages.index([facts]), "00007-00007")
        wire.requests.clear()
        assert raw_pages.known_facts(lake, ["00007-00007"]) == {"00007-00007": [facts]}
        assert not [request for request in wire.requests if request.startswith("GET bronze/raw_pages/")]


def test_facts_are_rows_of_the_index() -> None:
    assert [field.name for field in dataclasses.fields(PageFacts)] == RAW_PAGE_INDEX.schema.names


def test_a_page_stored_again_replaces_the_older(lake: Storage) -> None:
    raw_pages.write_page(lake, PAGE)
    later = dataclasses.replace(PAGE, body=b"{}", fetched_at=NOON + timedelta(days=1))
    raw_pages.write_page(lake, later)
    assert raw_pages.read_page(lake, 7).body.to_pybytes() == b"{}"
    assert raw_pages.read_page(lake, 7).fetched_at == later.fetched_at


def test_pyarrow_reads_it(object_file: Path) -> None:
    with pa.input_stream(str(object_file), compression="zstd") as stream:
        assert stream.read() == BODY


def test_duckdb_reads_it(object_file: Path) -> None:
    rows = duckdb.execute("SELECT page.number, near_earth_objects[1].name FROM read_json(?)", [str(object_file)])
    assert rows.fetchall() == [(7, "the Earth’s")]


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd command is not installed")
def test_the_zstd_command_reads_it(object_file: Path) -> None:
    assert subprocess.run(["zstd", "-dc", object_file], capture_output=True, check=True).stdout == BODY


def test_a_copied_lake_keeps_its_facts(object_file: Path, disk_lake: Storage, tmp_path: Path) -> None:
    shutil.copytree(disk_lake.root, tmp_path / "copy", copy_function=shutil.copyfile)
    assert raw_pages.read_page(Storage(str(tmp_path / "copy")), 7).facts == raw_pages.read_page(disk_lake, 7).facts


def test_a_missing_page(lake: Storage) -> None:
    assert raw_pages.read_facts(lake, 7) is None
    with pytest.raises(LakeError) as caught:
        raw_pages.read_page(lake, 7)
    assert str(caught.value).startswith(
        f"page 7 is not in the lake ({lake.root}/bronze/raw_pages/page-00007.json.zst): "
        "run `neo run`, or materialize raw_pages for its page set"
    )


def assert_reported_as_damaged(lake: Storage) -> None:
    with pytest.raises(LakeError) as caught:
        raw_pages.read_page(lake, 7)
    assert str(caught.value).startswith(f"{lake.location(layout.raw_page(7))} is damaged (")
    assert str(caught.value).endswith(
        "): run `neo run`, or materialize raw_pages for its page set; both fetch the page again"
    )


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_page_is_damaged(lake: Storage, stored: str, share: float) -> None:
    whole = lake.read(stored)
    lake.write(stored, whole[: int(len(whole) * share)])
    assert raw_pages.read_facts(lake, 7) is None
    assert_reported_as_damaged(lake)


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(5_000)], ids=["empty", "html", "zeros"])
def test_garbage_is_a_damaged_page(lake: Storage, stored: str, content: bytes) -> None:
    lake.write(stored, content)
    assert raw_pages.read_facts(lake, 7) is None
    assert_reported_as_damaged(lake)


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd command is not installed")
def test_a_page_that_another_program_wrote_has_no_facts(lake: Storage, stored: str) -> None:
    lake.write(stored, subprocess.run(["zstd", "-qc", "-"], input=BODY, capture_output=True, check=True).stdout)
    assert raw_pages.read_facts(lake, 7) is None
    assert_reported_as_damaged(lake)


def test_a_changed_byte_in_the_body_is_detected(lake: Storage, stored: str) -> None:
    whole = lake.read(stored).to_pybytes()
    unnoticed = []
    for place in range(0, len(whole) - 520, 37):
        lake.write(stored, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            if raw_pages.read_page(lake, 7).body.to_pybytes() != BODY:
                unnoticed.append(place)
        except LakeError:
            pass
    assert unnoticed == []


@pytest.mark.parametrize("place", [-510, -504, -300, -1], ids=lambda place: f"byte {place}")
def test_a_changed_byte_in_the_facts_is_detected(lake: Storage, stored: str, place: int) -> None:
    damaged = bytearray(lake.read(stored))
    damaged[place] = 0x22
    lake.write(stored, bytes(damaged))
    assert raw_pages.read_facts(lake, 7) is None
    assert_reported_as_damaged(lake)


def test_the_numbers_of_all_stored_pages(lake: Storage) -> None:
    assert raw_pages.stored_numbers(lake) == []
    for number in (12, 3, 10_007):
        raw_pages.write_page(lake, dataclasses.replace(PAGE, number=number))
    lake.write("bronze/raw_pages/page-7.json", b"{}")
    lake.write("bronze/raw_pages/readme-00009.json.zst", b"")
    assert raw_pages.stored_numbers(lake) == [3, 12, 10_007]
