"""Sail, a cluster in a process that speaks Spark Connect, for tests. No assertions here."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from neo_assets_tests.integration.harness import PATIENCE_S, free_port

_REASON = "Sail has no wheel for this Python or platform"


@contextlib.contextmanager
def serving_sail() -> Iterator[str]:
    """Run a server on a free port of loopback; yields its address."""
    spark = pytest.importorskip("pysail.spark", reason=_REASON, exc_type=ImportError)
    os.environ.setdefault("RUST_LOG", "error")
    server = spark.SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    try:
        yield f"sc://{host}:{port}"
    finally:
        server.stop()


@dataclass
class Mortal:
    """A server in a process of its own, on one port, which can be killed and started again."""

    port: int
    process: psutil.Popen

    @property
    def address(self) -> str:
        return f"sc://127.0.0.1:{self.port}"

    def kill_once_it_has_computed(self, cpu_s: float) -> None:
        """Wait until it has used so much more CPU time, in seconds, and kill it."""
        before, deadline = self._cpu_s(), time.monotonic() + PATIENCE_S
        while self._cpu_s() < before + cpu_s and time.monotonic() < deadline:
            time.sleep(0.01)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        self.process = _started(self.port)

    def _cpu_s(self) -> float:
        used = self.process.cpu_times()
        return float(used.user + used.system)


@contextlib.contextmanager
def mortal_sail() -> Iterator[Mortal]:
    """Run such a server on a free port of loopback."""
    pytest.importorskip("pysail.spark", reason=_REASON, exc_type=ImportError)
    port = free_port()
    server = Mortal(port, _started(port))
    try:
        yield server
    finally:
        server.kill()


def _started(port: int) -> psutil.Popen:
    """A server's process, once it listens."""
    command = [str(Path(sys.executable).with_name("sail")), "spark", "server", "--port", str(port)]
    process = psutil.Popen(command, stdin=subprocess.DEVNULL, env=os.environ | {"RUST_LOG": "error"})
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
            return process
        assert process.poll() is None, "Sail has ended"
        assert time.monotonic() < deadline, "Sail does not listen"
        time.sleep(0.02)
