"""The state without polling, with real connections: what listeners get and when, and that none holds up another."""

import contextlib
import itertools
import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from neo_assets.api import state, status
from neo_assets.api.app import create_app
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import incidents
from neo_assets.pipeline.incidents import Incident, Kind
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import PATIENCE_S, serving, wait_until
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

SOON_S = 20.0
"""Within so many seconds of a change, listeners have it; on an idle machine, it takes two."""

BAD = Incident(Kind.RUN, "daily_refresh", "it failed", datetime.now(UTC))


class Served:
    """The API over a lake, and how often its state was read."""

    def __init__(self, lake: Storage, url: str, reads: list[float]) -> None:
        self.lake, self.reads = lake, reads
        self.url = httpx.URL(url).join("/")

    def report(self, *incidents_: Incident) -> None:
        """Change the state: these incidents are open from now on."""
        incidents.write(self.lake, incidents.State(incidents_))

    def knock(self, path: str = "/events", receives: int | None = None) -> socket.socket:
        """A connection that asks for the state, and has read nothing yet."""
        client = socket.socket()
        if receives:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        client.connect((self.url.host, self.url.port))
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade if path[1:3] == 'ws' else ''}\r\n".encode())
        return client

    @contextlib.contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The updates that an event stream sends."""
        with httpx.stream("GET", self.url.join("/events"), timeout=PATIENCE_S) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: "))

    @contextlib.contextmanager
    def socket(self) -> Iterator[ClientConnection]:
        with connect(f"ws://{self.url.host}:{self.url.port}/ws/status", open_timeout=PATIENCE_S) as connection:
            yield connection


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Served]:
    lake = with_products(tmp_path, fill_from_simulator)
    reads: list[float] = []
    app = create_app(
        Settings(pages=2, pages_per_set=1, lake=lake.root), lake=lake, runs=lambda: reads.append(time.time())
    )
    with serving(app) as url:
        yield Served(lake, url, reads)


def what(update: dict[str, Any]) -> list[str]:
    return [one["what"] for one in update["state"]["incidents"]]


def test_events_come_at_once_and_with_each_change(api: Served) -> None:
    with api.events() as events:
        first = next(events)
        assert first["sequence"] == 1
        assert first["state"]["page_sets"] == {"asked": 2, "done": 2}
        assert first["state"]["snapshot"]["verdict"] == "consistent"
        changed = time.monotonic()
        api.report(BAD)
        second = next(events)
        assert time.monotonic() - changed < SOON_S
        assert (second["sequence"], what(second)) == (2, ["daily_refresh"])
        api.lake.delete(layout.raw_page(1))
        assert next(events)["state"]["pages"]["stored"] == 1
        with api.events() as late:
            assert next(late)["sequence"] == 3, "one who comes later gets the state as it is"


def test_the_stream_is_one_that_browsers_and_proxies_pass_on(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_PING_EVERY_S", 0.1)
    elsewhere = {"Origin": "https://example.org", "Last-Event-ID": "7"}
    with httpx.stream("GET", api.url.join("/events"), headers=elsewhere, timeout=PATIENCE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert not {"Content-Encoding", "Content-Length"} & {name.title() for name in answer.headers}
        lines = answer.iter_lines()
        seen = {line.partition("{")[0]: number for number, line in enumerate(itertools.islice(lines, 40))}
    assert seen.keys() == {"retry: 5000", "event: state", "data: ", "id: 1", ": ping", ""}
    assert seen["retry: 5000"] == 0
    assert seen["data: "] == seen["event: state"] + 1 == seen["id: 1"] - 1


def test_the_socket_sends_the_same(api: Served) -> None:
    with api.events() as events, api.socket() as connection:
        assert json.loads(connection.recv(PATIENCE_S)) == next(events)
        connection.send("whatever a client says" * 1_000)
        connection.send(b"is not used")
        api.report(BAD)
        changed = json.loads(connection.recv(PATIENCE_S))
        assert changed == next(events)
        assert what(changed) == ["daily_refresh"]


def test_a_hundred_listeners_share_one_reader_that_rests_when_they_have_left(api: Served) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(20) as threads:
        streams = [stack.enter_context(api.events()) for _ in range(50)]
        sockets = [stack.enter_context(api.socket()) for _ in range(50)]
        assert {next(one)["sequence"] for one in streams} == {1}
        assert {json.loads(one.recv(PATIENCE_S))["sequence"] for one in sockets} == {1}
        began, reads = time.time(), len(api.reads)
        api.report(BAD)
        assert {update["sequence"] for update in threads.map(next, streams)} == {2}
        assert {json.loads(one.recv(PATIENCE_S))["sequence"] for one in sockets} == {2}
        assert len(api.reads) - reads <= (time.time() - began) / 2 + 1, "as often as for one"
    wait_until(lambda: rests(api))


def rests(api: Served) -> bool:
    """Whether nobody has read the state for two turns."""
    return time.time() - api.reads[-1] > 5


@pytest.mark.parametrize("path", ["/events", "/ws/status"])
def test_one_who_never_reads_delays_nobody_and_is_given_up(
    api: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_LONGEST_SEND_S", 1.0)
    monkeypatch.setattr(status, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(state, "_READ_EVERY_S", 0.0)
    many = [replace(BAD, what=f"{number:03} {'x' * 500}") for number in range(500)]
    with contextlib.closing(api.knock(path, receives=1_024)):
        with api.events() as events:
            next(events)
            for number in range(20):
                changed = time.monotonic()
                api.report(*many, replace(BAD, what=f"change {number}"))
                while what(next(events))[-1:] != [f"change {number}"]:
                    pass
                assert time.monotonic() - changed < SOON_S
        wait_until(lambda: rests(api))


def test_those_whose_connection_breaks_are_forgotten(api: Served) -> None:
    killed = [api.knock() for _ in range(5)]
    for one in killed:
        assert one.recv(100)
    with api.socket() as connection:
        connection.recv(PATIENCE_S)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket.close()
    for one in killed:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
    wait_until(lambda: rests(api))


def test_too_many_are_refused(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_MOST_LISTENERS", 1)
    with api.events() as events:
        next(events)
        refused = httpx.get(api.url.join("/events"), timeout=PATIENCE_S)
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert refused.headers["Retry-After"] == "30"
        with api.socket() as connection, pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_head_ends(api: Served) -> None:
    answer = httpx.head(api.url.join("/events"), timeout=PATIENCE_S)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_the_description_names_the_stream_and_the_state(api: Served) -> None:
    described = httpx.get(api.url.join("/openapi.json"), timeout=PATIENCE_S).json()
    answers = described["paths"]["/events"]["get"]["responses"]
    assert {"200", "503"} <= answers.keys()
    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert {"Update", "State", "KeyBudget"} <= described["components"]["schemas"].keys()
