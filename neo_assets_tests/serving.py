"""`neo serve` as a process of its own, for tests. No assertions about it here."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neo_assets.lake.storage import Storage
from neo_assets_tests.integration.harness import PATIENCE_S, Started, place


@dataclass
class Serving:
    """A server that runs."""

    url: str
    started: Started

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def errors(self) -> str:
        """What it has written to its standard error so far."""
        return Path(self.started.err.name).read_text()


@contextlib.contextmanager
def neo_serve(
    path: Path, lake: Storage, *options: object, prefix: tuple[str, ...] = (), **settings: object
) -> Iterator[Serving]:
    """Serve a lake until the end of the block, then press Ctrl-C.

    Args:
        path: a directory that does not exist yet.
        lake: the lake.
        options: options of `neo serve`.
        prefix: the command that starts it.
        settings: settings of the process.
    """
    at = place(path)
    started = at.start("neo", "serve", "--port", 0, *options, prefix=prefix, NEO_LAKE=lake.root, **settings)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (said := re.search(r"at (http://127\.0\.0\.1:\d+);", started.output())):
            assert started.process.poll() is None, Path(started.err.name).read_text()
            assert time.monotonic() < deadline, "it does not serve"
            time.sleep(0.05)
        yield Serving(said[1], started)
        if started.process.poll() is None:
            started.interrupt()
    finally:
        started.kill()
