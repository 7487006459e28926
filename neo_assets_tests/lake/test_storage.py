"""The storage interface: atomic writes, and clear messages when they fail."""

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from neo_assets.lake.storage import LakeError, Storage

FILE = "some/where/data.bin"


def everything_in(lake: Storage) -> list[str]:
    if not lake.is_local:
        return [info.path for info in lake.files("")]
    return sorted(str(path.relative_to(lake.root)) for path in Path(lake.root).rglob("*") if path.is_file())


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Set the operating system's file size limit: a write fails midway, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read(lake: Storage) -> None:
    lake.write(FILE, b"bytes")
    assert lake.read(FILE).to_pybytes() == b"bytes"


def test_what_is_written_piece_by_piece_is_read_piece_by_piece(lake: Storage) -> None:
    lake.write_pieces(FILE, (b"%d," % number for number in range(4)))
    with lake.open(FILE) as file:
        assert [file.read(3), file.read(9), file.read(9)] == [b"0,1", b",2,3,", b""]


def test_pieces_that_end_in_an_error_leave_what_was_there(disk_lake: Storage) -> None:
    disk_lake.write(FILE, b"old")
    with pytest.raises(ZeroDivisionError):
        disk_lake.write_pieces(FILE, (b"%d" % (1 // number) for number in (1, 0)))
    assert disk_lake.read(FILE).to_pybytes() == b"old"
    assert everything_in(disk_lake) == [FILE]


def test_a_later_write_replaces(lake: Storage) -> None:
    lake.write(FILE, b"a longer old version")
    lake.write(FILE, b"new")
    assert lake.read(FILE).to_pybytes() == b"new"


@pytest.mark.parametrize(("size", "tail"), [(0, b""), (3, b"tes"), (5, b"bytes"), (99, b"bytes")])
def test_the_end_of_a_file_is_read_alone(lake: Storage, size: int, tail: bytes) -> None:
    lake.write(FILE, b"bytes")
    assert lake.read_tail(FILE, size) == tail[-size:]


@pytest.mark.parametrize("before", [b"the old version", None])
def test_a_write_that_fails_leaves_what_was_there(disk_lake: Storage, before: bytes | None) -> None:
    lake = disk_lake
    if before:
        lake.write(FILE, before)
    with no_file_longer_than(1_000), pytest.raises(LakeError, match=f"cannot write {lake.location(FILE)}: "):
        lake.write(FILE, bytes(100_000))
    assert everything_in(lake) == ([FILE] if before else [])
    assert not before or lake.read(FILE).to_pybytes() == before


def test_a_file_is_created_only_if_there_is_none(lake: Storage) -> None:
    assert lake.create(FILE, b"first")
    assert not lake.create(FILE, b"second")
    assert lake.read(FILE).to_pybytes() == b"first"
    assert everything_in(lake) == [FILE]


def test_several_writers_end_with_one_whole_version(lake: Storage) -> None:
    versions = [bytes([letter]) * 200_000 for letter in b"abcdefgh"]
    with ThreadPoolExecutor(len(versions)) as writers:
        list(writers.map(lambda version: lake.write(FILE, version), versions * 3))
    assert lake.read(FILE).to_pybytes() in versions
    assert everything_in(lake) == [FILE]


def test_a_reader_never_sees_half_a_file(lake: Storage) -> None:
    versions = [bytes([letter]) * 100_000 for letter in b"ab"]
    lake.write(FILE, versions[0])
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(lambda: [lake.write(FILE, version) for version in versions * 20])
        while not writing.done():
            assert lake.read(FILE).to_pybytes() in versions
        writing.result()


@pytest.mark.parametrize("what", ["read", "read_tail", "open"])
def test_a_missing_file_raises_file_not_found(lake: Storage, what: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(lake, what)(FILE, *([1] if what == "read_tail" else []))


def test_files_are_listed_by_path_at_any_depth_without_hidden_ones(lake: Storage) -> None:
    for path in ("b/page_set=1/data.parquet", "b/page_set=0/data.parquet", "a/data.parquet"):
        lake.write(path, b"x")
    lake.write("b/page_set=0/.data.parquet.0123.tmp", b"half")
    assert [info.path for info in lake.files("b")] == ["b/page_set=0/data.parquet", "b/page_set=1/data.parquet"]
    assert lake.files("nowhere") == []


def test_a_file_in_the_place_of_a_directory(disk_lake: Storage) -> None:
    lake = disk_lake
    Path(lake.root).write_text("not a directory")
    with pytest.raises(LakeError) as caught:
        lake.write(FILE, b"x")
    assert str(caught.value) == (
        f"cannot write {lake.location(FILE)}: there is a file where a directory is needed: "
        "set NEO_LAKE to another place"
    )


@pytest.mark.skipif(
    sys.platform != "linux", reason="only on Linux is there a place, /sys, where even root cannot write"
)
def test_a_place_that_is_not_writable() -> None:
    with pytest.raises(LakeError, match=r"^cannot write /sys/neo_lake/x: .*: .* set NEO_LAKE to a place of your own"):
        Storage("/sys/neo_lake").write("x", b"x")


def test_a_directory_in_the_place_of_a_file(disk_lake: Storage) -> None:
    lake = disk_lake
    lake.write(f"{FILE}/below", b"x")
    with pytest.raises(LakeError, match=f"cannot read {lake.location(FILE)}: "):
        lake.read(FILE)
    with pytest.raises(LakeError, match=f"cannot write {lake.location(FILE)}: "):
        lake.write(FILE, b"x")
    assert everything_in(lake) == [f"{FILE}/below"]


def test_nothing_is_created_before_the_first_write(lake: Storage) -> None:
    assert lake.files("") == []
    assert not Path(lake.root).exists()


def test_a_relative_root_is_relative_to_the_working_directory_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Storage("data/lake")
    monkeypatch.chdir("/")
    lake.write("x", b"bytes")
    assert (tmp_path / "data/lake/x").read_bytes() == b"bytes"


@pytest.mark.parametrize(("root", "local"), [("s3://bucket/prefix", False), ("~/lake", True), ("/lake", True)])
def test_the_location_of_a_lake(root: str, local: bool) -> None:
    lake = Storage(root)
    assert lake.is_local is local
    assert lake.location("x") == f"{Path(root).expanduser() if local else root}/x"


def test_a_file_can_be_moved_and_deleted(lake: Storage) -> None:
    lake.write(FILE, b"bytes")
    lake.move(FILE, "another/place")
    assert everything_in(lake) == ["another/place"]
    assert lake.info("another/place").size == 5
    lake.delete("another/place")
    assert everything_in(lake) == []


def test_a_missing_file_cannot_be_moved(lake: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        lake.move(FILE, "elsewhere")
    assert everything_in(lake) == []
