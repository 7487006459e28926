"""`neo serve`, as a process of its own."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import dagster as dg
import httpx
import psutil
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


def test_ctrl_c_while_workers_start_leaves_no_traceback(tmp_path: Path) -> None:
    lake = with_products(tmp_path, fill_from_simulator)
    for number in range(4):
        with neo_serve(tmp_path / f"served {number}", lake, "--workers", 4) as server:
            time.sleep(number * 0.3)
        ended = server.started.wait()
        assert (ended.code, ended.err) == (0, "")


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    lake = with_products(tmp_path, fill_from_simulator)
    with neo_serve(tmp_path / "served", lake, "--workers", 2) as server:
        assert httpx.get(f"{server.url}/health/live", timeout=PATIENCE_S).status_code == 200
        os.kill(server.started.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        with contextlib.suppress(httpx.TransportError):
            while httpx.get(f"{server.url}/health/live", timeout=PATIENCE_S):
                assert time.monotonic() < deadline, "workers answer on"
                time.sleep(0.1)


def test_a_busy_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with listening() as busy:
        port = busy.getsockname()[1]
        ended = place(tmp_path / "refused").neo("serve", "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port or --host\n"
    )


def test_each_request_is_a_line_of_json_with_its_id(tmp_path: Path) -> None:
    lake = with_products(tmp_path, fill_from_simulator)
    with neo_serve(tmp_path / "served", lake, NEO_LOG="json") as server:
        for path, request_id in {"/v1/neos?des=planted": "abc-1", "/nowhere": "abc-2"}.items():
            httpx.get(f"{server.url}{path}", headers={"X-Request-ID": request_id}, timeout=PATIENCE_S)
        with connect(f"ws{server.url[4:]}/ws/status?planted", open_timeout=PATIENCE_S) as connection:
            connection.recv()
    ended = server.started.wait()
    assert ended.code == 0
    seen = [json.loads(line) for line in ended.err.splitlines()]
    served = [line for line in seen if line["event"].startswith("serving snapshot")]
    assert served[0]["request_id"] == "abc-1", "what a request brings about has its id, too"
    requests = [line for line in seen if "duration_ms" in line]
    assert [(line["request_id"], line["status"]) for line in requests[:2]] == [("abc-1", 200), ("abc-2", 404)]
    assert [line["path"] for line in requests] == ["/v1/neos", "/nowhere", "/ws/status"]
    assert "planted" not in ended.err


def test_workers_add_up_what_they_measure_even_when_one_dies(tmp_path: Path) -> None:
    lake = with_products(tmp_path, fill_from_simulator)
    with neo_serve(tmp_path / "served", lake, "--workers", 2) as server:

        def metrics() -> str:
            return httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text

        for _ in range(40):
            httpx.get(f"{server.url}/health/live", timeout=PATIENCE_S)
        counted = '\nneo_api_request_duration_seconds_count{route="/health/live",status="200"} 40.0\n'
        assert all(counted in metrics() for _ in range(8)), "whichever answers"
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                at = f"ws{server.url[4:]}/ws/status"
                stack.enter_context(connect(at, open_timeout=PATIENCE_S))
            assert "\nneo_api_requests_in_progress 9.0\n" in metrics(), "with the scrape itself"
            workers = psutil.Process(server.started.process.pid).children()
            next(one for one in workers if "spawn_main" in " ".join(one.cmdline())).kill()
        deadline = time.monotonic() + PATIENCE_S
        while "\nneo_api_requests_in_progress 1.0\n" not in (told := metrics()):
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        assert counted in told, "what a dead worker had answered still counts"
        assert re.search(r"worker \d+ ended with code -9; another one was started", server.errors())
