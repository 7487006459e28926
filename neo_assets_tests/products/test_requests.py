"""The requests for reports: which steps they may take, whatever clients and workers do in which order, on SQLite and on
PostgreSQL.
"""

import itertools
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from neo_assets.lake.storage import Storage
from neo_assets.products.requests import FILE, SCHEMA, Order, Request, Requests, Status
from neo_assets_tests.postgres_server import PostgresServer, run
from neo_assets_tests.settings import settings_of

Open = Callable[..., Requests]
LAKE = "/a/lake"
LEGAL = {
    ("queued", "processing"),
    ("processing", "queued"),
    ("processing", "success"),
    ("processing", "failed"),
    ("success", "downloaded"),
    ("success", "failed"),
    ("downloaded", "failed"),
}
_NUMBER = itertools.count()
OVER = ("success", "downloaded", "failed")


def order(name: str = "one") -> Order:
    return Order("close-approaches", {"body": "Earth", "dist-max": "1LD"}, "csv", name)


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the requests of a lake, in a database that starts empty."""
    values: dict[str, Any] = {"dagster_home": tmp_path / "home"}
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        values["postgres_url"] = SecretStr(server.new_database())
    return lambda lake=LAKE: Requests.of(settings_of(**values), Storage(lake))


def taken(requests: Requests, name: str = "one", run_id: str = "run") -> Request:
    ordered = requests.order(order(name))
    found = requests.take(ordered.job_id, ordered.retries, run_id)
    assert found
    return found


def test_a_request_is_ordered_worked_off_and_collected(opened: Open) -> None:
    with opened() as requests:
        ordered = requests.order(order())
        assert list(ordered.record()) == [
            *("job_id", "status", "retries", "created_at", "report_file_path", "files_to_process"),
        ]
        assert (ordered.record()["status"], ordered.retries, ordered.files_to_process) == ("queued", 0, 1)
        assert ordered.order == order()
        processing = requests.take(ordered.job_id, 0, "run")
        assert processing
        assert (processing.status, processing.run_id, processing.files_to_process) == (Status.PROCESSING, "run", 1)
        done = requests.succeed(processing, "work/report.csv", "abc", 3)
        assert done
        assert (done.record()["report_file_path"], done.sha256, done.bytes) == ("work/report.csv", "abc", 3)
        collected = requests.collected(done, "reports/report.csv")
        assert collected
        assert (collected.record()["status"], collected.files_to_process) == ("downloaded", 0)
        assert requests.get(ordered.job_id) == collected


def test_the_same_order_is_the_same_request_until_it_fails(opened: Open) -> None:
    with opened() as requests, opened("/another/lake") as others:
        first = requests.order(order())
        assert requests.order(order()) == first
        assert requests.order(order("other")).job_id != first.job_id
        assert others.order(order()).job_id != first.job_id
        assert others.get(first.job_id) is None
        claimed = requests.take(first.job_id, 0, "run")
        assert claimed
        failed = requests.fail(claimed, "it cannot be made")
        assert failed
        assert (failed.status, failed.reason, failed.files_to_process) == (Status.FAILED, "it cannot be made", 0)
        assert requests.order(order()).job_id != first.job_id
        assert [one.status for one in requests.those()] == ["failed", "queued", "queued"]


def test_a_report_that_is_lost_can_be_ordered_again(opened: Open) -> None:
    with opened() as requests:
        made = requests.succeed(taken(requests), "work/report.csv", "abc", 3)
        assert made
        assert requests.collected(made, "reports/report.csv")
        lost = requests.lost(made, "it was deleted")
        assert lost
        assert (lost.status, lost.report_file_path, lost.reason) == (Status.FAILED, None, "it was deleted")
        again = taken(requests)
        assert again.job_id != made.job_id
        for one in (made, again):
            assert requests.lost(one, "late") is None, "it is known already, or there was none yet"


def test_a_worker_that_was_given_up_changes_nothing(opened: Open) -> None:
    with opened() as requests:
        late = taken(requests, run_id="late")
        assert requests.give_back(late, "its run died")
        assert requests.take(late.job_id, 0, "a retry of the first") is None, "it has been given back since"
        second = requests.take(late.job_id, 1, "second")
        assert second
        assert requests.succeed(late, "late", "late", 1) is None
        assert requests.give_back(late, "late") is None
        assert requests.fail(late, "late") is None
        again = requests.give_back(second, "it took too long")
        assert again
        assert (again.status, again.retries, again.reason) == (Status.FAILED, 1, "it took too long")


def test_they_are_listed_in_order_of_arrival(opened: Open) -> None:
    with opened() as requests:
        ordered = [requests.order(order(str(number))).job_id for number in range(5)]
        assert [one.job_id for one in requests.those(Status.QUEUED)] == ordered
        assert requests.take(ordered[1], 0, "run")
        assert [one.job_id for one in requests.those(Status.QUEUED, most=2)] == [ordered[0], ordered[2]]
        assert [one.job_id for one in requests.those(Status.PROCESSING, Status.SUCCESS)] == [ordered[1]]


def test_reading_makes_nothing(opened: Open, tmp_path: Path) -> None:
    with opened() as requests:
        assert requests.those() == []
        assert requests.get("0" * 32) is None
        assert requests.take("0" * 32, 0, "run") is None
    assert not (tmp_path / "home").exists()


Plan = list[tuple[str, int, int]]
STEPS = st.tuples(
    st.sampled_from(["order", "take", "succeed", "give back", "fail", "collect", "lose", "reap"]),
    st.integers(0, 2),  # which order
    st.integers(0, 2),  # which worker
)


class Shown:
    """What was ever shown of the requests: every state of each, in the order of the database."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}

    def look(self, requests: Requests) -> None:
        for one in requests.those():
            states = self.states.setdefault(one.job_id, [])
            if not states or states[-1] != one.status:
                states.append(str(one.status))

    def check(self) -> None:
        for states in self.states.values():
            assert states[0] == "queued"
            assert set(itertools.pairwise(states)) <= LEGAL, states
            assert states.count("processing") <= 2
            assert states.count("success") <= 1


def act(requests: Requests, step: tuple[str, int, int], held: dict[tuple[int, int], Request]) -> None:
    """One step of a client or worker. A worker goes by what it was told last, however old that is."""
    what, which, worker = step
    mine = held.get((which, worker))
    if what == "order":
        held[which, worker] = requests.order(order(str(which)))
    elif mine is None:
        return
    elif what == "take":
        held[which, worker] = requests.take(mine.job_id, mine.retries, f"run {worker}") or mine
    elif what == "succeed":
        held[which, worker] = requests.succeed(mine, f"work/{which}", "abc", 3) or mine
    elif what == "give back":
        held[which, worker] = requests.give_back(mine, "it failed") or mine
    elif what == "fail":
        held[which, worker] = requests.fail(mine, "it failed") or mine
    elif what == "collect":
        held[which, worker] = requests.collected(mine, f"reports/{which}") or mine
    elif what == "lose":
        held[which, worker] = requests.lost(mine, "it was deleted") or mine
    elif found := requests.get(mine.job_id):  # as the sensor does: whoever has it is given up
        held[which, worker] = requests.give_back(found, "its run died") or found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(STEPS, max_size=40))
def test_no_order_of_steps_leads_to_an_illegal_one(opened: Open, plan: Plan) -> None:
    shown = Shown()
    held: dict[tuple[int, int], Request] = {}
    with opened(f"/lake/{next(_NUMBER)}") as requests:
        for step in plan:
            act(requests, step, held)
            shown.look(requests)
            alive = [one.order.digest for one in requests.those() if one.status != Status.FAILED]
            assert len(alive) == len(set(alive))
    shown.check()


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=st.lists(st.lists(STEPS, min_size=5, max_size=25), min_size=4, max_size=4))
def test_nor_do_several_at_once(opened: Open, plans: list[Plan]) -> None:
    """Four servers or workers, each with connections of its own."""
    lake, shown, over = f"/lake/{next(_NUMBER)}", Shown(), threading.Event()
    successes: list[str] = []

    def one(plan: Plan) -> None:
        held: dict[tuple[int, int], Request] = {}
        with opened(lake) as requests:
            for what, which, worker in plan:
                before = held.get((which, worker))
                act(requests, (what, which, worker), held)
                if what == "succeed" and held.get((which, worker)) != before:
                    successes.append(held[which, worker].job_id)

    def watch() -> None:
        with opened(lake) as requests:
            while not over.is_set():
                shown.look(requests)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, plans))
    over.set()
    watcher.join()
    assert len(successes) == len(set(successes)), "none is done twice"
    for states in shown.states.values():  # the watcher may miss some
        ended = [state for state in states if state in OVER]
        assert ended == sorted(ended, key=("success", "downloaded", "failed").index), states
        assert len(ended) == len(set(ended)), states


def test_of_many_that_order_or_take_the_same_one_succeeds(opened: Open) -> None:
    start = threading.Barrier(8)

    def one(number: int) -> tuple[str, bool]:
        with opened() as requests:
            start.wait()
            ordered = requests.order(order())
            start.wait()
            return ordered.job_id, requests.take(ordered.job_id, 0, f"run {number}") is not None

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(one, range(8)))
    assert len({job_id for job_id, _ in done}) == 1
    assert sum(is_taken for _, is_taken in done) == 1


def test_postgres_keeps_them_in_a_schema_of_its_own(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    settings = settings_of(postgres_url=SecretStr(url))
    with Requests.of(settings, Storage(LAKE)) as requests:
        assert requests.those() == []
        assert run(url, f"SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'") == [(0,)], "not by reading"
        requests.order(order())
    assert run(url, f"SELECT status, retries FROM {SCHEMA}.requests") == [("queued", 0)]


def test_the_database_refuses_what_is_no_state(tmp_path: Path) -> None:
    with Requests.of(settings_of(dagster_home=tmp_path), Storage(LAKE)) as requests:
        requests.order(order())
    database = sqlite3.connect(tmp_path / FILE)
    for wrong in ("status = 'done'", "retries = 2"):
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(f"UPDATE requests SET {wrong}")
    database.close()
