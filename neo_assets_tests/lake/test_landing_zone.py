"""Files in the landing zone as bytes: which ones wait, in what order, how they are read, and where they are moved."""

import base64
import errno
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from neo_assets.lake import landing_zone, layout
from neo_assets.lake.landing_zone import LandedFile
from neo_assets.lake.storage import LakeError, Storage


def drop(lake: Storage, name: str, content: bytes = b"", age_s: float = 0) -> str:
    """Drop a file, changed `age_s` seconds ago (on disk only)."""
    lake.write(path := f"landing/{name}", content)
    if age_s:
        at = time.time() - age_s
        os.utime(lake.location(path), (at, at))
    return path


def names(lake: Storage, settled_s: float = 0) -> list[str]:
    return [file.name for file in landing_zone.waiting(lake, settled_s)]


def packed(codec: str | None, *lines: bytes) -> bytes:
    return b"".join(landing_zone.Content(pa.BufferReader(b""), codec).compressed(lines))


def only(lake: Storage) -> LandedFile:
    (file,) = landing_zone.waiting(lake)
    return file


def without_secret(data: bytes) -> bytes:
    return data.replace(b"secret", b"...")


def test_a_missing_landing_zone_is_empty(lake: Storage) -> None:
    assert names(lake) == []


def test_files_are_ordered_by_their_last_change(disk_lake: Storage) -> None:
    lake = disk_lake
    for name, age in (("b", 10), ("a", 5), ("d/c", 10), ("e", 60)):
        drop(lake, name, age_s=age)
    modified = {file.name: file.modified for file in landing_zone.waiting(lake)}
    assert names(lake) == sorted(modified, key=lambda name: (modified[name], name))
    assert names(lake)[0] == "e"
    assert names(lake)[-1] == "a"


@pytest.mark.parametrize("name", [".a.json", ".part/a.json", "a/.b/c.json", "a.json.reason.txt"])
def test_hidden_files_and_reasons_do_not_wait(lake: Storage, name: str) -> None:
    drop(lake, name)
    assert names(lake) == []


def test_a_file_that_may_still_be_written_waits_for_the_next_look(disk_lake: Storage) -> None:
    lake = disk_lake
    drop(lake, "old", age_s=4_000)
    drop(lake, "young", age_s=3)
    drop(lake, "of a clock that is fast", age_s=-1_000)
    drop(lake, "of the far future", age_s=-10_000)
    assert set(names(lake, 3_600)) == {"old", "of the far future"}
    assert len(names(lake)) == 4


@pytest.mark.parametrize("name", ["a.json", "a.gz.json", "a"])
def test_a_plain_file_is_read_by_line(lake: Storage, name: str) -> None:
    drop(lake, name, b"one\ntwo\r\n\nlast")
    content = landing_zone.read(lake, only(lake))
    assert list(content.lines()) == list(content.lines()) == [b"one\n", b"two\r\n", b"\n", b"last"]


@pytest.mark.parametrize(("name", "codec"), [("a.json.gz", "gzip"), ("a.JSON.GZ", "gzip"), ("a.zst", "zstd")])
def test_a_compressed_file_is_read_by_line(lake: Storage, name: str, codec: str) -> None:
    text = b"".join(b'{"line": %d}\n' % number for number in range(100_000))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(text)
    drop(lake, name, sink.getvalue().to_pybytes())
    content = landing_zone.read(lake, only(lake))
    assert b"".join(content.lines()) == text
    again = landing_zone.Content(pa.BufferReader(b"".join(content.compressed(content.lines()))), codec)
    assert b"".join(again.lines()) == text


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("left", [1, 0.5, 0.99])
def test_a_truncated_file_is_an_error(lake: Storage, codec: str, left: float) -> None:
    whole = packed(codec, os.urandom(10_000) + b"\n")
    drop(lake, "a.gz" if codec == "gzip" else "a.zst", whole[: int(len(whole) * left)] if left < 1 else whole[:-1])
    with pytest.raises(OSError, match="Truncated"):
        list(landing_zone.read(lake, only(lake)).lines())


def test_a_file_is_archived_by_the_day(lake: Storage) -> None:
    drop(lake, "some/a.json", b"content")
    before = datetime.now(UTC)
    target = landing_zone.archive(lake, only(lake), without_secret, False)
    assert target in {f"archive/{day:%Y/%m/%d}/some/a.json" for day in (before, datetime.now(UTC))}
    assert lake.read(target).to_pybytes() == b"content"
    assert lake.files("landing") == []


def test_archived_files_are_never_replaced(lake: Storage) -> None:
    kept = {}
    for number in range(1, 5):
        drop(lake, "x.y/a.json.gz", b"%d" % number)
        target = landing_zone.archive(lake, only(lake), without_secret, False)
        assert target
        kept[target.partition("x.y/")[2]] = lake.read(target).to_pybytes()
    assert kept == {"a.json.gz": b"1", "a-2.json.gz": b"2", "a-3.json.gz": b"3", "a-4.json.gz": b"4"}


def test_the_reason_is_written_beside_a_file_set_aside(lake: Storage) -> None:
    drop(lake, "a.json", b"bad")
    assert landing_zone.set_aside(lake, only(lake), "because", without_secret, False) == "quarantine/landing/a.json"
    assert lake.read("quarantine/landing/a.json").to_pybytes() == b"bad"
    assert lake.read("quarantine/landing/a.json.reason.txt").to_pybytes() == b"because\n"


@pytest.mark.parametrize("name", ["a secret.json", "a secret.json.gz", "a secret.json.zst"])
def test_content_and_name_are_cleaned(lake: Storage, name: str) -> None:
    codec = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2])
    lines = [b"a secret\n", b"no more"]
    drop(lake, name, packed(codec, *lines))
    assert landing_zone.read(lake, only(lake)).is_changed_by(without_secret)
    target = landing_zone.archive(lake, only(lake), without_secret, True)
    assert target
    assert target.endswith(name.replace("secret", "..."))
    assert list(landing_zone.Content(lake.open(target), codec).lines()) == [b"a ...\n", b"no more"]
    assert lake.files("landing") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.zst"])
def test_a_file_on_disk_is_never_whole_in_memory(disk_lake: Storage, name: str) -> None:
    lake, most, before = disk_lake, 0, pa.total_allocated_bytes()

    def watched(data: bytes) -> bytes:
        nonlocal most
        most = max(most, pa.total_allocated_bytes() - before)
        return without_secret(data)

    lines = [base64.b64encode(os.urandom(30_000)) + b" secret\n" for _ in range(300)]
    whole = packed({"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2]), *lines)
    drop(lake, name, whole)
    file = only(lake)
    assert landing_zone.read(lake, file).is_changed_by(watched)
    assert landing_zone.archive(lake, file, watched, True)
    assert most < 8 << 20 < len(whole)


def test_a_clean_file_is_moved_byte_for_byte(lake: Storage) -> None:
    content = packed("gzip", b"clean")
    drop(lake, "a.json.gz", content)
    assert not landing_zone.read(lake, only(lake)).is_changed_by(without_secret)
    target = landing_zone.archive(lake, only(lake), without_secret, False)
    assert target
    assert lake.read(target).to_pybytes() == content


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.json.gz", None), ("a.json.zst", "gzip"), ("a.json", "zstd"), ("a", "gzip"), ("a.txt", "zstd")],
)
def test_a_file_is_cleaned_as_it_is_compressed_whatever_its_name_says(
    lake: Storage, name: str, codec: str | None
) -> None:
    drop(lake, name, packed(codec, b"a secret\n", b"no more"))
    assert landing_zone.read(lake, only(lake)).is_changed_by(without_secret)
    target = landing_zone.set_aside(lake, only(lake), "damaged", without_secret, True)
    assert target
    assert list(landing_zone.Content(lake.open(target), codec).lines()) == [b"a ...\n", b"no more"]


def test_a_file_that_begins_with_a_skippable_frame_is_cleaned(lake: Storage) -> None:
    """As written by pzstd."""
    frame = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"size"
    drop(lake, "a.json.zst", frame + packed("zstd", b"a secret"))
    assert landing_zone.read(lake, only(lake)).is_changed_by(without_secret)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("name", ["a.json.gz", "a.json", "a.txt"])
def test_a_damaged_file_cannot_be_searched(lake: Storage, name: str, codec: str) -> None:
    drop(lake, name, packed(codec, b"a secret\n", os.urandom(1_000))[:-9])
    with pytest.raises(OSError, match="Truncated"):
        landing_zone.read(lake, only(lake)).is_changed_by(without_secret)


def test_a_file_changed_since_it_was_listed_is_left_in_place(lake: Storage) -> None:
    """Even by one of the same size, within the same second."""
    path = drop(lake, "a.json", b"old")
    file = only(lake)
    lake.write(path, b"new")
    assert landing_zone.archive(lake, file, without_secret, False) is None
    assert landing_zone.set_aside(lake, file, "because", without_secret, False) is None
    assert names(lake) == ["a.json"]
    assert lake.files("archive") == lake.files("quarantine") == []


@pytest.mark.parametrize("to_clean", [False, True])
def test_a_missing_file_raises_file_not_found(lake: Storage, to_clean: bool) -> None:
    path = drop(lake, "a.json", b"old")
    file = only(lake)
    lake.delete(path)
    with pytest.raises(FileNotFoundError):
        landing_zone.archive(lake, file, without_secret, to_clean)
    with pytest.raises(FileNotFoundError):
        landing_zone.set_aside(lake, file, "because", without_secret, to_clean)
    assert lake.files("archive") == lake.files("quarantine") == []


def test_a_landing_zone_may_be_a_mount_point(disk_lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = disk_lake
    drop(lake, "a.json", b"content")

    def across(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", across)
    target = landing_zone.archive(lake, only(lake), without_secret, False)
    assert target
    assert lake.read(target).to_pybytes() == b"content"
    assert lake.files("landing") == []


@pytest.mark.parametrize(("encoding", "way_out"), [("utf-8", "rename it"), ("ascii", "set PYTHONUTF8=1")])
def test_a_name_that_cannot_be_read_is_reported_in_one_line(
    disk_lake: Storage, encoding: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    lake = disk_lake
    drop(lake, "a.json")
    try:
        Path(os.fsdecode(os.fsencode(lake.location("landing/")) + b"\xe9.json")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(LakeError) as caught:
        landing_zone.waiting(lake)
    assert str(caught.value) == f"a file in {lake.root}/landing has a name that is not {encoding}: {way_out}"


@pytest.mark.parametrize("number", [0, 99_999, 100_000, 2_000_099_999])
def test_the_path_of_a_stored_page_contains_its_number(number: int) -> None:
    assert layout.raw_page_number(layout.raw_page(number)) == number


@pytest.mark.parametrize(
    "path", ["lake.json", "bronze/raw_pages/page-1.json.zst", "bronze/raw_pages/page-00001.json", "page-00001.json.zst"]
)
def test_another_path_has_no_page_number(path: str) -> None:
    assert layout.raw_page_number(path) is None


class Raced(Storage):
    """A lake in which another process moves a file away just before this one does."""

    def __init__(self, root: str, step: str) -> None:
        super().__init__(root)
        self.step = step

    def open(self, path: str) -> pa.NativeFile:
        if self.step == "open":
            Storage(self.root).move(path, "archive/elsewhere")
        return super().open(path)

    def move(self, path: str, target: str) -> None:
        if self.step == "move":
            Storage(self.root).move(path, "archive/elsewhere")
        super().move(path, target)


@pytest.mark.parametrize("step", ["open", "move"])
def test_a_file_that_another_process_moves_away_is_left_to_it(lake: Storage, step: str) -> None:
    drop(lake, "a.json", b"content")
    raced = Raced(lake.root, step)
    with pytest.raises(FileNotFoundError):
        landing_zone.archive(raced, only(lake), without_secret, step == "open")
    assert [info.path for info in lake.files("")] == ["archive/elsewhere"]
    drop(lake, "b.json", b"content")
    with pytest.raises(FileNotFoundError):
        landing_zone.set_aside(raced, only(lake), "because", without_secret, step == "open")
    assert lake.files("quarantine") == []
