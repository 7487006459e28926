"""The asset `heartbeat`: two requests, one row; an outage is a row too, and no failure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from neo_assets.lake import owner, tables
from neo_assets.lake.storage import LakeLacks, Storage
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Served
from neo_assets_tests.integration.harness import free_port
from neo_assets_tests.orchestration.assets.graph import KEY, Graph, at, failure, metadata
from neo_assets_tests.settings import settings_of

HTML = Response("<html>Application Error</html>", 503, media_type="text/html")


def rows(lake: Storage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read_table(lake, HEARTBEAT).to_pylist()
    return found


class Counting:
    """An app in front of the simulator that counts requests by path, and may answer some paths itself."""

    def __init__(self, app: ASGIApp, **answers: ASGIApp) -> None:
        self._app, self._answers = app, answers
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition("/")[2]
        self.asked.append(name)
        await self._answers.get(name, self._app)(scope, receive, send)


def in_front_of(served: Served, **answers: ASGIApp) -> Counting:
    counting = Counting(served.app, **answers)
    served.app = counting  # type: ignore[assignment]  # it wraps the application
    return counting


def test_two_requests_give_size_latency_and_status(lake: Storage, served: Served) -> None:
    counting = in_front_of(served)
    graph = Graph(lake, at(served))
    assert graph.run("heartbeat").success
    shown = metadata(graph.run("heartbeat"))["heartbeat", None]
    assert counting.asked == ["browse", "stats"] * 2
    first, second = rows(lake)
    assert first["at"] < second["at"]
    assert (second["status"], second["detail"], second["source"]) == ("ok", None, "simulator")
    assert second["total_elements"] == second["near_earth_object_count"] == 90
    assert second["close_approach_count"] == Catalogue(neos=90).close_approach_count
    assert 0 < second["page_seconds"] < 10
    assert 0 < second["stats_seconds"] < 10
    assert (shown["dagster/row_count"], shown["status"], shown["total_elements"]) == (2, "ok", 90)
    assert [record.data["at"] for record in shown["latest rows"].records] == [str(second["at"]), str(first["at"])]
    assert owner.source_of(lake) == "simulator"


async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.3)
    await create_app(Catalogue(neos=90))(scope, receive, send)


def test_the_wait_for_the_budget_is_no_latency(lake: Storage, served: Served) -> None:
    in_front_of(served, browse=slowly)
    assert Graph(lake, at(served, requests_per_second=1.5)).run("heartbeat").success
    [row] = rows(lake)
    assert row["page_seconds"] >= 0.3
    assert row["stats_seconds"] < 0.3, "it waited until two thirds of a second after page 0"


@pytest.mark.parametrize(
    ("answers", "status", "detail", "asked"),
    [
        ({"browse": HTML}, "out of order", "127.0.0.1 answered 503: NeoWs is unavailable", ["browse"]),
        ({"browse": Response("")}, "out of order", "", ["browse"]),
        ({"browse": Response(status_code=404)}, "refused", "answered 404", ["browse"]),
        ({"browse": Response("OVER_RATE_LIMIT", 429)}, "over the limit", "answered 429 OVER_RATE_LIMIT", ["browse"]),
        ({"stats": HTML}, "out of order", "answered 503", ["browse", "stats"]),
    ],
)
def test_an_outage_is_a_row(
    lake: Storage, served: Served, answers: dict[str, ASGIApp], status: str, detail: str, asked: list[str]
) -> None:
    counting = in_front_of(served, **answers)
    assert Graph(lake, at(served)).run("heartbeat").success
    [row] = rows(lake)
    assert row["status"] == status
    assert detail in row["detail"]
    assert counting.asked == asked, "without retries"
    assert (row["total_elements"] == 90) is ("stats" in asked), "what was seen before is kept"
    assert row["stats_seconds"] is None


def test_a_host_that_does_not_answer_is_a_row(lake: Storage) -> None:
    values: dict[str, Any] = {"nasa_api_keys": KEY, "base_url": f"http://127.0.0.1:{free_port()}/neo/rest/v1"}
    assert Graph(lake, settings_of(**values)).run("heartbeat").success
    [row] = rows(lake)
    assert (row["status"], row["source"], row["total_elements"]) == ("out of order", None, None)


def test_a_proxy_that_cannot_be_used_is_a_row(lake: Storage, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://nowhere")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Graph(lake, at(served)).run("heartbeat").success
    assert [row["status"] for row in rows(lake)] == ["refused"]


def test_nothing_is_asked_while_the_budget_is_used_up(lake: Storage, served: Served, tmp_path: Path) -> None:
    counting = in_front_of(served)
    settings = at(served, requests_per_hour=3, ledger=tmp_path / "ledger")
    graph = Graph(lake, settings)
    assert graph.run("heartbeat").success
    assert graph.run("heartbeat").success
    assert counting.asked == ["browse", "stats"]
    assert [row["status"] for row in rows(lake)] == ["ok", "not asked"]
    assert rows(lake)[1]["detail"].startswith("the request budget allows no request before 20")


def test_without_a_key_the_embedded_simulator_answers(lake: Storage, no_network: None) -> None:
    assert Graph(lake, settings_of()).run("heartbeat").success
    [row] = rows(lake)
    assert (row["status"], row["source"], row["total_elements"]) == ("ok", "simulator", 41_839)


def test_a_lake_of_another_source_gets_no_row(lake: Storage, served: Served) -> None:
    owner.claim(lake, "nasa")
    assert "holds data from nasa" in failure(Graph(lake, at(served)).run("heartbeat"))
    with pytest.raises(LakeLacks):
        rows(lake)


def test_no_key_is_stored(lake: Storage, served: Served) -> None:
    in_front_of(served, browse=Response(f"API_KEY_INVALID {KEY}", 403))
    assert Graph(lake, at(served)).run("heartbeat").success
    [row] = rows(lake)
    assert row["status"] == "refused"
    assert KEY not in str(row)


def test_the_ledger_is_used(lake: Storage, served: Served, tmp_path: Path) -> None:
    settings = at(served, ledger=tmp_path / "ledger", requests_per_hour=10)
    assert Graph(lake, settings).run("heartbeat").success
    host = served.url.split("/")[2]
    budget = Budget(settings.request_ledger, host, settings.keys, 10, 1e6)
    assert budget.affordable(10, 60, 60) == 8
    budget.close()
