"""A lake that cannot be written, because its parent is a file or its disk is full. One clear line, and the last good
files stay.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from neo_assets_tests.integration.harness import Ended, Place, fingerprints

pytestmark = pytest.mark.slow

OnSmallDisk = Callable[..., Ended]

# The mount is visible only to this process and its children, and disappears with them.
_PRIVATELY = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
_SCRIPT = """
disk=$1; size=$2; left=$3; neo=$4
mount -t tmpfs -o size=$size tmpfs "$disk" || exit 99
cp -r "$left"/. "$disk" && cd "$disk" && "$neo" run
code=$?
rm -r "$left" && cp -r "$disk" "$left"
exit $code
"""


@pytest.fixture
def run_on_small_disk(here: Place, tmp_path: Path) -> OnSmallDisk:
    """Runs `neo run` in a directory on a small disk. The directory's content is copied from `left` and back to it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    possible = (
        shutil.which("unshare")
        and not subprocess.run(
            [*_PRIVATELY, 'mount -t tmpfs tmpfs "$0"', disk], capture_output=True, check=False
        ).returncode
    )
    if not possible:
        pytest.skip("no private file system can be mounted here: user namespaces are off")

    def run(left: Path, size: str, **settings: object) -> Ended:
        arguments = (_SCRIPT, "sh", str(disk), size, str(left))
        return here.start("neo", prefix=(*_PRIVATELY, *arguments), **settings).wait()

    return run


def digests(directory: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in fingerprints(directory).items()}


def test_a_lake_below_a_file_is_refused_in_one_line(here: Place) -> None:
    (here.path / "file").write_text("mine")
    ended = here.neo("run", NEO_LAKE="file/lake")
    assert ended.code == 1
    assert ended.out == ""
    assert "Traceback" not in ended.err
    last = ended.err.splitlines()[-1]
    assert re.match(rf"Error: cannot (read|write) {here.path}/file/lake/", last)
    assert last.endswith("there is a file where a directory is needed: set NEO_LAKE to another place")
    assert (here.path / "file").read_text() == "mine"


def test_a_full_disk_keeps_the_last_good_files_of_the_lake(
    gathered: Place, tmp_path: Path, run_on_small_disk: OnSmallDisk
) -> None:
    """The lake is on the full disk; Dagster's state is elsewhere."""
    left = tmp_path / "left"
    shutil.copytree(gathered.path / "data/lake", left / "lake")
    before = digests(left / "lake")
    ended = run_on_small_disk(
        left, "700k", NEO_LAKE="lake", NEO_PAGES=40, NEO_PAGES_PER_SET=20, DAGSTER_HOME=gathered.path.parent
    )
    assert ended.code == 1
    assert ended.out == ""
    assert "Traceback" not in ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"Error: cannot write {tmp_path}/disk/lake/")
    assert last.endswith("the disk is full: free some space, or set NEO_LAKE to a place that has enough")
    assert digests(left / "lake").items() >= before.items()
    assert not list((left / "lake").rglob("*.tmp"))


def test_a_disk_too_full_for_dagster_is_reported_in_one_line(
    gathered: Place, tmp_path: Path, run_on_small_disk: OnSmallDisk
) -> None:
    """The lake and Dagster's state are both on the full disk, as by default."""
    left = tmp_path / "left"
    shutil.copytree(gathered.path, left)
    before = digests(left / "data/lake")
    ended = run_on_small_disk(left, "1700k", NEO_PAGES=40, NEO_PAGES_PER_SET=20)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: ")
    assert "disk" in ended.err.splitlines()[-1]
    assert digests(left / "data/lake").items() >= before.items()
