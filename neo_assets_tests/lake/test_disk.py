"""Particular to disk: which temporary files are deleted, links that may lead anywhere, and missing hard links."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neo_assets.lake.storage import LakeError, Storage

# A writer that pauses after writing its temporary file, before the rename, and reports it.
_WRITER = """
import os, sys, time
from neo_assets.lake.storage import Storage
os.fsync = lambda _: (print("written", flush=True), time.sleep(60))
Storage(sys.argv[1]).write("silver/data.parquet", b"half")
"""


def left(lake: Storage) -> list[Path]:
    return list(Path(lake.root).rglob("*.tmp"))


def test_only_temporary_files_of_dead_processes_are_deleted(tmp_path: Path) -> None:
    lake = Storage(str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", _WRITER, lake.root], stdout=subprocess.PIPE, env=os.environ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        lake.sweep()
        assert len(left(lake)) == 1, "its process is alive"
        writer.kill()
    lake.sweep()
    assert left(lake) == []


def test_an_empty_place_needs_no_sweeping(tmp_path: Path) -> None:
    Storage(str(tmp_path / "nowhere")).sweep()


def test_links_to_files_are_files_and_links_to_directories_are_not_followed(disk_lake: Storage, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    disk_lake.write("landing/a", b"a")
    landing = Path(disk_lake.root, "landing")
    (landing / "file").symlink_to(tmp_path / "outside")
    (landing / "circle").symlink_to(landing)
    (landing / "nowhere").symlink_to(tmp_path / "gone")
    assert [info.path for info in disk_lake.files("landing")] == ["landing/a", "landing/file"]


def test_a_directory_of_the_lake_may_be_a_link(disk_lake: Storage, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    disk_lake.write("lake.json", b"{}")
    Path(disk_lake.root, "landing").symlink_to(tmp_path / "incoming")
    (tmp_path / "incoming/a").write_bytes(b"a")
    assert [info.path for info in disk_lake.files("landing")] == ["landing/a"]


def test_moving_a_link_copies_its_target_and_leaves_it_in_place(disk_lake: Storage, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    link = Path(disk_lake.root, "landing/a")
    link.parent.mkdir(parents=True)
    link.symlink_to("../../outside")
    disk_lake.move("landing/a", "archive/2026/a")
    assert disk_lake.read("archive/2026/a").to_pybytes() == b"mine"
    assert not Path(disk_lake.root, "archive/2026/a").is_symlink()
    assert not link.is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_a_directory_that_cannot_be_listed_is_reported(disk_lake: Storage) -> None:
    disk_lake.write("landing", b"a file in the place of a directory")
    with pytest.raises(LakeError, match="there is a file where a directory is needed"):
        disk_lake.files("landing")


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_is_created_even_without_hard_links(
    disk_lake: Storage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on exFAT and some network file systems."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    assert disk_lake.create("lake.json", b"first")
    assert not disk_lake.create("lake.json", b"second")
    assert disk_lake.read("lake.json").to_pybytes() == b"first"
    assert left(disk_lake) == []


@pytest.mark.parametrize(
    ("verb", "arguments"), [("read", ()), ("read_tail", (10,)), ("open", ()), ("write", (b"x",)), ("delete", ())]
)
def test_a_directory_in_the_place_of_a_file_is_reported_with_the_way_out(
    disk_lake: Storage, verb: str, arguments: tuple[Any, ...]
) -> None:
    Path(disk_lake.root, "gold/data.parquet/more").mkdir(parents=True)
    with pytest.raises(
        LakeError, match=r"gold/data\.parquet: there is a directory where a file is needed: move it away"
    ):
        getattr(disk_lake, verb)("gold/data.parquet", *arguments)
