"""What killed processes leave on disk in the middle of a write is swept away; what is being written is not."""

import os
import subprocess
import sys
from pathlib import Path

from neo_assets.lake.storage import Storage

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
