"""`neo serve`, as a process of its own."""

import contextlib
import json
import time
from pathlib import Path

import dagster as dg
import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from neo_assets.orchestration.instance import open_instance
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


@pytest.mark.parametrize("workers", [1, 2])
def test_listeners_see_dagsters_runs_and_do_not_hold_up_its_end(tmp_path: Path, workers: int) -> None:
    home = tmp_path / "dagster"
    lake = with_products(tmp_path, fill_from_simulator)
    home.mkdir()
    (home / "dagster.yaml").touch()  # Dagster wants one
    with open_instance(home, lake) as instance:
        instance.add_run(dg.DagsterRun("daily_refresh", "under-way", status=dg.DagsterRunStatus.STARTED))
    with (
        neo_serve(tmp_path / "served", lake, "--workers", workers, DAGSTER_HOME=home) as server,
        contextlib.ExitStack() as stack,
    ):
        clients = [
            stack.enter_context(connect(f"ws{server.url[4:]}/ws/status", open_timeout=PATIENCE_S)) for _ in range(4)
        ]
        stream = stack.enter_context(httpx.stream("GET", f"{server.url}/events", timeout=PATIENCE_S))
        for connection in clients:
            assert json.loads(connection.recv(PATIENCE_S))["state"]["source"] == "simulator", "at once"
            while not (runs := json.loads(connection.recv(PATIENCE_S))["state"]["runs"]["under_way"]):
                pass
            assert [(run["id"], run["job"], run["status"]) for run in runs] == [
                ("under-way", "daily_refresh", "processing")
            ]
        began = time.monotonic()
        ended = server.started.interrupt()
        assert time.monotonic() - began < 9, "it does not wait until it gives up"
        assert "event: state" in stream.read().decode()
        for connection in clients:
            with pytest.raises(ConnectionClosed):
                connection.recv(PATIENCE_S)
    assert (ended.code, ended.err) == (0, "")


def test_a_busy_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with listening() as busy:
        port = busy.getsockname()[1]
        ended = place(tmp_path / "refused").neo("serve", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port or --host\n"
    )
