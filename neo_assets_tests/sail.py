"""Sail, a cluster in a process that speaks Spark Connect, for tests. No assertions here."""

import contextlib
import os
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def serving_sail() -> Iterator[str]:
    """Run a server on a free port of loopback; yields its address."""
    reason = "Sail has no wheel for this Python or platform"
    spark = pytest.importorskip("pysail.spark", reason=reason, exc_type=ImportError)
    os.environ.setdefault("RUST_LOG", "error")
    server = spark.SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    try:
        yield f"sc://{host}:{port}"
    finally:
        server.stop()
