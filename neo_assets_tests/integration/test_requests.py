"""Requests for reports, while servers, runs and the daemon are killed: none is lost, and none is done twice."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import TOKEN
from neo_assets_tests.integration.harness import PATIENCE_S, Place, Started, place, wait_until
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

pytestmark = pytest.mark.slow

ORDERS = [{"table": "close-approaches", "parameters": {"body": "Earth"}}, {"table": "neos", "format": "parquet"}]


@pytest.fixture
def at(tmp_path: Path) -> Place:
    """A directory whose settings name a lake with products."""
    lake = with_products(tmp_path, fill_from_simulator)
    at = place(tmp_path / "here", "dagster.yaml", "workspace.yaml", NEO_LAKE=lake.root, NEO_API_TOKEN=TOKEN)
    at.settings["DAGSTER_HOME"] = at.path
    return at


class Blocked:
    """Makes whoever reads the lake's database wait, by a pipe in its place, until the end of the block."""

    def __init__(self, at: Place) -> None:
        self.file = Path(at.settings["NEO_LAKE"]) / "products" / "neo.duckdb"
        self.aside = self.file.with_name("aside")

    def __enter__(self) -> None:
        self.file.rename(self.aside)
        os.mkfifo(self.file)

    def __exit__(self, *_: object) -> None:
        self.aside.replace(self.file)


def records(at: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in at.neo("requests", "--json").out.splitlines()]


def serve(at: Place) -> tuple[Started, httpx.Client]:
    """A running `neo serve`, and a client that has the token."""
    server = at.start("neo", "serve", "--port", 0)
    said = wait_until(lambda: re.search(r"at (http://127\.0\.0\.1:\d+);", server.output()))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return server, httpx.Client(base_url=said[1], timeout=PATIENCE_S, headers=headers)


def order_all(at: Place) -> list[dict[str, Any]]:
    """Order the reports at a server that is killed at once afterwards."""
    server, client = serve(at)
    try:
        with client:
            return [client.post("/v1/requests", json=order).json() for order in ORDERS]
    finally:
        server.kill()


def files(at: Place) -> list[str]:
    """The reports in the lake. Each attempt writes a file of its own."""
    return [info.path for folder in ("work", "reports") for info in Storage(at.settings["NEO_LAKE"]).files(folder)]


def test_a_server_that_is_killed_loses_no_request(at: Place) -> None:
    ordered = order_all(at)
    assert records(at) == ordered
    server, client = serve(at)
    try:
        assert [client.post("/v1/requests", json=order).json() for order in ORDERS] == ordered, "they are the same"
        assert at.neo("requests", "work").code == 0
        for record in ordered:
            job = f"/v1/requests/{record['job_id']}"
            assert client.get(job).json()["status"] == "success"
            assert client.get(f"{job}/report").status_code == 200
    finally:
        client.close()
        server.kill()


def test_a_process_that_is_killed_at_work_loses_no_request(at: Place) -> None:
    first, second = order_all(at)
    with Blocked(at):
        worker = at.start("neo", "requests", "work")
        wait_until(lambda: records(at)[0]["status"] == "processing")
        worker.kill()
    assert [one["status"] for one in records(at)] == ["processing", "queued"]
    ended = at.neo("requests", "work")
    assert ended.code == 0, ended.err
    assert [line.split()[0] for line in ended.out.splitlines()] == [first["job_id"], second["job_id"]]
    assert [(one["status"], one["retries"]) for one in records(at)] == [("success", 1), ("success", 0)]
    assert files(at) == sorted([f"work/{first['job_id']}-1.csv", f"work/{second['job_id']}-0.parquet"])
    assert at.neo("requests", "collect").code == 0
    assert [one["status"] for one in records(at)] == ["downloaded"] * 2
    assert files(at) == sorted(one["report_file_path"] for one in records(at))


@pytest.fixture
def daemons(at: Place) -> Iterator[Callable[[], Started]]:
    """Starts Dagster's daemon; all of them are killed at the end, with their runs."""
    started: list[Started] = []

    def start() -> Started:
        started.append(at.start("dagster-daemon", "run", "-w", "workspace.yaml"))
        return started[-1]

    yield start
    for daemon in started:
        daemon.kill()


def test_a_daemon_that_is_killed_with_its_run_loses_no_request(at: Place, daemons: Callable[[], Started]) -> None:
    first, second = order_all(at)
    with Blocked(at):
        daemon = daemons()
        wait_until(lambda: records(at)[0]["status"] == "processing")
        daemon.kill()
    daemons()
    wait_until(lambda: {one["status"] for one in records(at)} == {"success"})
    assert [one["retries"] for one in records(at)] == [1, 0]
    assert files(at) == sorted([f"work/{first['job_id']}-1.csv", f"work/{second['job_id']}-0.parquet"])
