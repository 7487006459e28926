"""What is particular to disk: what killed processes leave in the middle of a write is swept away, what is being written
is not; and links, which may lead anywhere.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neo_assets.lake.storage import LakeError, Storage

# A writer that is stopped between writing aside and the rename, and says so.
_WRITER = """
import os, sys, time
from neo_assets.lake.storage import Storage
os.fsync = lambda _: (print("aside", flush=True), time.sleep(60))
Storage(sys.argv[1]).write("silver/data.parquet", b"half")
"""


def left(lake: Storage) -> list[Path]:
    return list(Path(lake.root).rglob("*.tmp"))


def test_only_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    lake = Storage(str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", _WRITER, lake.root], stdout=subprocess.PIPE, env=os.environ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"aside\n"
        lake.sweep()
        assert len(left(lake)) == 1, "it is being written"
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


def test_of_a_link_that_is_moved_the_content_goes_and_what_it_leads_to_stays(
    disk_lake: Storage, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    link = Path(disk_lake.root, "landing/a")
    link.parent.mkdir(parents=True)
    link.symlink_to("../../outside")
    disk_lake.move("landing/a", "archive/2026/a")
    assert disk_lake.read("archive/2026/a").to_pybytes() == b"mine"
    assert not Path(disk_lake.root, "archive/2026/a").is_symlink()
    assert not link.is_symlink()
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_a_directory_that_may_not_be_looked_into_is_told(disk_lake: Storage) -> None:
    disk_lake.write("landing", b"a file in the place of a directory")
    with pytest.raises(LakeError, match="a file stands where a directory is needed"):
        disk_lake.files("landing")


@pytest.mark.parametrize("says", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_there_are_no_hard_links_a_file_is_created_all_the_same(
    disk_lake: Storage, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    """As on exFAT and on some file systems of the network."""

    def no_links(*_: object, **__: object) -> None:
        raise OSError(says, os.strerror(says))

    monkeypatch.setattr(os, "link", no_links)
    assert disk_lake.create("lake.json", b"first")
    assert not disk_lake.create("lake.json", b"second")
    assert disk_lake.read("lake.json").to_pybytes() == b"first"
    assert left(disk_lake) == []
