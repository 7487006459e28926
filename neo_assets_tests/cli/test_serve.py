"""`neo serve`, as a process of its own."""

import re
import time
from pathlib import Path

import httpx
import pytest

from neo_assets_tests.integration.harness import PATIENCE_S, listening, place
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_the_lake_until_ctrl_c(tmp_path: Path, workers: int) -> None:
    at = place(tmp_path / "served")
    lake = with_products(tmp_path, fill_from_simulator)
    server = at.start("neo", "serve", "--port", 0, "--workers", workers, NEO_LAKE=lake.root)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (said := re.search(r"at (http://127\.0\.0\.1:\d+);", server.output())):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{said[1]}/v1/neos", timeout=PATIENCE_S).json()["total"] == 40
    finally:
        ended = server.interrupt()
    assert (ended.code, ended.err) == (0, "")
    assert list(at.path.iterdir()) == []


def test_a_busy_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with listening() as busy:
        port = busy.getsockname()[1]
        ended = place(tmp_path / "refused").neo("serve", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port or --host\n"
    )
