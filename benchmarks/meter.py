"""Runs one command and writes what it cost, as JSON, to a file. Which commands are run is decided elsewhere.

    python meter.py REPORT COMMAND...

It is a process of its own because the system adds up the cost of all children of a process, and because a child starts
with the peak memory of its parent, which is small here. Linux only.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command; its exit code is part of the report."""
    report, *command = sys.argv[1:]
    # Spark's Java process outlives the script that started it; as its parent died, it becomes a child of this process.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    start = time.perf_counter()
    exit_code = subprocess.run(command, check=False).returncode
    wall_s = time.perf_counter() - start
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "exit_code": exit_code,
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
    }
    Path(report).write_text(json.dumps(cost), encoding="utf-8")


if __name__ == "__main__":
    main()
