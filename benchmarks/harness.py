"""What the benchmarks share: clean environments, the server of pages, and what a command costs.

What is measured, and how the figures are shown, belongs to `measure` and `compare`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
KEY = "benchmark"
LIFTED = {"NASA_API_KEYS": KEY, "NEO_REQUESTS_PER_HOUR": 10**9, "NEO_REQUESTS_PER_SECOND": 10**6}
"""The key, and limits of requests that are never reached."""

_OURS = ("NEO", "NASA", "DAGSTER", "AWS", "PYTHONDONTWRITEBYTECODE")


def clean_environment(home: Path, **settings: object) -> dict[str, str]:
    """The environment with a home directory of its own, and these settings instead of any of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home)}
    return kept | own | {name: str(value) for name, value in settings.items()}


@dataclass(frozen=True)
class Served:
    """Pages that a server offers: its base URL, their NEOs and size, and the totals that are right for them."""

    url: str
    pages: int
    neos: int
    mb: float
    truth: dict[str, dict[str, int]]

    def requests(self) -> int:
        """How many requests with `KEY` the server has had."""
        counts = httpx.get(httpx.URL(self.url).join("/requests"), headers={"X-Api-Key": "counter"}).json()
        return int(counts.get(KEY, 0))


@contextmanager
def serving(directory: Path, pages: int, *options: str) -> Iterator[Served]:
    """Serve pages from another process, rendered beforehand; `options` are those of `server.py`."""
    command = [sys.executable, str(HERE / "server.py"), "--pages", str(pages), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment(directory)) as server:
        try:
            assert server.stdout is not None
            ready = server.stdout.readline()
            if not ready:
                raise SystemExit("the server of pages did not start; its error is above")
            yield Served(pages=pages, **json.loads(ready))
        finally:
            server.terminate()


@dataclass(frozen=True)
class Cost:
    """What a command cost, with its child processes: wall clock and CPU time (user and system) in seconds, the peak
    memory of its largest process and the size of the files that it left, in MB (10^6 bytes).
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    left_mb: float


def metered(command: list[str], home: Path, **settings: Any) -> tuple[Cost, str]:
    """Run a command in a directory; returns its cost and what it printed.

    Raises:
        RuntimeError: it failed; the message has the end of what it reported.
    """
    report = home.with_name(f"{home.name}.cost.json")
    meter = [sys.executable, str(HERE / "meter.py"), str(report), *command]
    ended = subprocess.run(
        meter, cwd=home, env=clean_environment(home, **settings), capture_output=True, text=True, check=True
    )
    measured = json.loads(report.read_text(encoding="utf-8"))
    if exit_code := measured.pop("exit_code"):
        raise RuntimeError(f"{' '.join(command)} ended with exit code {exit_code}:\n{ended.stderr[-2000:]}")
    left = sum(path.lstat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    return Cost(**measured, left_mb=left / 1e6), ended.stdout
