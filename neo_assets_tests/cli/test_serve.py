"""`neo serve`, as a process of its own."""

from pathlib import Path

import httpx
import pytest

from neo_assets_tests.integration.harness import PATIENCE_S, listening, place
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products
from neo_assets_tests.serving import neo_serve

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_the_lake_until_ctrl_c(tmp_path: Path, workers: int) -> None:
    lake = with_products(tmp_path, fill_from_simulator)
    with neo_serve(tmp_path / "served", lake, "--workers", workers) as server:
        assert httpx.get(f"{server.url}/v1/neos", timeout=PATIENCE_S).json()["total"] == 40
    ended = server.started.wait()
    assert (ended.code, ended.err) == (0, "")
    assert list((tmp_path / "served").iterdir()) == []


def test_a_busy_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with listening() as busy:
        port = busy.getsockname()[1]
        ended = place(tmp_path / "refused").neo("serve", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port or --host\n"
    )
