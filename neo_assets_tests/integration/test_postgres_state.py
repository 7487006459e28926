"""A backfill with Dagster's state in PostgreSQL, whose server is killed meanwhile: no event is lost."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from neo_assets.schema.page_sets import page_set_keys
from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.conftest import ASSETS, DagsterDev
from neo_assets_tests.integration.harness import KEY, PATIENCE_S, dagster_yaml_for_postgres, place, serving, wait_until
from neo_assets_tests.postgres_server import programs_or_skip, run, serving_postgres

pytestmark = pytest.mark.slow

PAGE_SETS = page_set_keys(16, 1)
AT_ONCE = 8
OUTAGE_S = 5.0

_OF_STEPS = "dagster_event_type IN ('STEP_SUCCESS', 'ASSET_MATERIALIZATION', 'ASSET_CHECK_EVALUATION')"


@dataclass
class Backfilled:
    """What the database held when its server was killed, and when the backfill had ended."""

    url: str
    runs_at_kill: Counter[str]
    events_at_kill: set[tuple[int, str]]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return run(self.url, query)


def statuses(url: str) -> Counter[str]:
    return Counter(dict(run(url, "SELECT status, count(*) FROM runs GROUP BY status")))


def events_of_steps(url: str) -> set[tuple[int, str]]:
    return set(run(url, f"SELECT id, event FROM event_logs WHERE {_OF_STEPS}"))


class Gate:
    """A NeoWs that answers once it is open, so that runs wait for each other there."""

    def __init__(self) -> None:
        self.app = create_app(Catalogue(neos=20 * len(PAGE_SETS)), keys=[KEY])
        self.is_open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        while not self.is_open:
            await asyncio.sleep(0.1)
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfilled]:
    """A backfill of 16 page sets, 8 at once; the server was killed while those 8 were under way."""
    with serving_postgres(programs_or_skip()) as server, serving(gate := Gate()) as neows:
        url = server.new_database()
        at = place(
            tmp_path_factory.mktemp("postgres") / "here",
            "workspace.yaml",
            NEO_PAGES=len(PAGE_SETS),
            NEO_PAGES_PER_SET=1,
            NEO_POSTGRES_URL=url,
            NEOWS_BASE_URL=neows,
            NASA_API_KEYS=KEY,
            NEO_REQUESTS_PER_SECOND=1_000,
        )
        text = dagster_yaml_for_postgres().replace("max_concurrent_runs: 1", f"max_concurrent_runs: {AT_ONCE}")
        (at.path / "dagster.yaml").write_text(text)
        dev = DagsterDev(at)
        try:
            dev.launch(PAGE_SETS)
            wait_until(lambda: statuses(url)["STARTED"] == AT_ONCE, every_s=0.5, patience_s=2 * PATIENCE_S)
            gate.is_open = True
            wait_until(lambda: len(events_of_steps(url)) > 100, every_s=0.5, patience_s=2 * PATIENCE_S)
            at_kill = statuses(url), events_of_steps(url)
            server.kill()
            time.sleep(OUTAGE_S)
            assert server.start()
            wait_until(lambda: status_of_backfill(url) != "REQUESTED", every_s=0.5, patience_s=2 * PATIENCE_S)
            yield Backfilled(url, *at_kill)
        finally:
            dev.server.kill()


def status_of_backfill(url: str) -> str:
    [[status]] = run(url, "SELECT status FROM bulk_actions")
    return str(status)


def test_the_backfill_completes(backfilled: Backfilled) -> None:
    assert backfilled.runs_at_kill["STARTED"] >= AT_ONCE - 1
    assert status_of_backfill(backfilled.url) == "COMPLETED_SUCCESS"
    done = backfilled.ask(
        "SELECT asset_key, count(DISTINCT partition) FROM event_logs "
        "WHERE dagster_event_type = 'ASSET_MATERIALIZATION' GROUP BY asset_key"
    )
    assert dict(done) == {f'["{name}"]': len(PAGE_SETS) for name in ASSETS}


def test_every_run_ends(backfilled: Backfilled) -> None:
    """Automation may have launched others since."""
    rows = backfilled.ask("SELECT partition, status FROM runs WHERE partition IS NOT NULL ORDER BY id")
    assert {status for _, status in rows} <= {"SUCCESS", "FAILURE"}
    assert dict(rows) == dict.fromkeys(PAGE_SETS, "SUCCESS")


def test_no_event_of_a_step_is_lost_or_stored_twice(backfilled: Backfilled) -> None:
    assert backfilled.events_at_kill
    assert backfilled.events_at_kill <= events_of_steps(backfilled.url)
    rows = backfilled.ask(
        f"SELECT run_id, dagster_event_type, step_key, event_logs.asset_key FROM event_logs JOIN runs USING (run_id) "
        f"WHERE status = 'SUCCESS' AND runs.partition IS NOT NULL AND {_OF_STEPS}"
    )
    of_runs: dict[str, Counter[tuple[str, str, str]]] = {}
    for run_id, *event in rows:
        of_runs.setdefault(run_id, Counter())[tuple(event)] += 1
    first, *others = of_runs.values()
    assert len(others) >= len(PAGE_SETS) - 1
    assert all(other == first for other in others), "every page set takes the same steps"
