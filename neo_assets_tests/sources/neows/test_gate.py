"""The gate: which request may be sent now, with which key, and what happens to those that wait."""

import asyncio
import contextlib
import itertools
import re
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from neo_assets.sources.neows import gate as module
from neo_assets.sources.neows.budget import Slot
from neo_assets.sources.neows.errors import KeyRejected, NeoWsError, NotFound, Outage, RateLimited, Unavailable
from neo_assets.sources.neows.gate import Gate
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets_tests.sources.neows.fetching import KEY, OTHER_KEY, QUICK, NotedBudget

DOWN = Unavailable("NeoWs answered 503")


@pytest.fixture
def make_budget(tmp_path: Path) -> Iterator[Callable[..., NotedBudget]]:
    """A function that makes budgets on one ledger; by default with one key and hardly any limit."""
    made: list[NotedBudget] = []

    def make_budget(
        *keys: str, per_hour: int = 10**6, per_second: float = 1e6, kind: type[NotedBudget] = NotedBudget
    ) -> NotedBudget:
        made.append(kind(tmp_path / "ledger", "neows.example", keys or [KEY], per_hour, per_second))
        return made[-1]

    yield make_budget
    for one in made:
        one.close()


def answering(*outcomes: Any, wait_s: float = 0.0) -> Callable[[str], Awaitable[str]]:
    """Sends nothing. Each call raises the next outcome if it is an error, and otherwise returns the key."""
    left = list(outcomes)

    async def send(key: str) -> str:
        await asyncio.sleep(wait_s)
        outcome = left.pop(0) if left else None
        if isinstance(outcome, NeoWsError):
            raise outcome
        return key

    return send


def ask_in_turn(gate: Gate, *asked: tuple[str, NeoWsError | None]) -> list[type[NeoWsError] | None]:
    """Send requests one after another, without retries; returns the outcome of each."""

    async def ask_all() -> list[type[NeoWsError] | None]:
        ends: list[type[NeoWsError] | None] = []
        for what, error in asked:
            try:
                await gate.ask(what, answering(error))
                ends.append(None)
            except NeoWsError as end:
                ends.append(type(end))
        return ends

    return asyncio.run(ask_all())


# --- outages


def test_after_failures_in_a_row_on_several_pages_nothing_is_sent() -> None:
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.001, trips_after=3))
    ends = ask_in_turn(gate, *((f"page {number}", DOWN) for number in range(3)), ("page 9", None))
    assert ends == [Unavailable, Unavailable, Outage, Outage]
    gate.reopen()
    assert ask_in_turn(gate, ("page 9", None)) == [None], "whoever asks again finds out whether it is over"


def test_a_request_that_is_silent_when_the_outage_is_found_is_not_sent() -> None:
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.05, trips_after=3))
    ask_in_turn(gate, ("page 0", DOWN), ("page 1", DOWN))
    sent: list[str] = []

    async def send(key: str) -> None:
        sent.append(key)

    async def run() -> None:
        silent = asyncio.create_task(gate.ask("page 2", send))
        await asyncio.sleep(0.01)
        gate._breaker.note_failure("page 3", DOWN, time.monotonic())
        with pytest.raises(Outage):
            await silent

    asyncio.run(run())
    assert sent == []


@pytest.mark.parametrize(("answer", "end"), [(None, None), (NotFound("404"), NotFound)])
def test_an_answer_shows_that_the_host_is_up_even_if_it_refuses(answer: Any, end: Any) -> None:
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.001, trips_after=3))
    ends = ask_in_turn(gate, ("a", DOWN), ("b", DOWN), ("c", answer), ("d", DOWN))
    assert ends == [Unavailable, Unavailable, end, Unavailable]


def test_requests_in_flight_when_the_outage_begins_count_once() -> None:
    async def run() -> list[Any]:
        gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.001, trips_after=3))
        asking = [gate.ask(f"page {number}", answering(DOWN, wait_s=0.02)) for number in range(8)]
        return await asyncio.gather(*asking, return_exceptions=True)

    assert list(map(type, asyncio.run(run()))) == [Unavailable] * 8


def test_one_probe_at_a_time_at_growing_intervals_and_then_none() -> None:
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.05, trips_after=4))
    asked: list[float] = []

    async def fail(key: str) -> None:
        asked.append(time.monotonic())
        raise DOWN

    async def run() -> None:
        await asyncio.gather(gate.ask("page 0", fail), return_exceptions=True)
        await asyncio.gather(*(gate.ask(f"page {number}", fail) for number in range(1, 9)), return_exceptions=True)

    asyncio.run(run())
    silences = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(asked) == 4, "after the fourth failure nobody asks"
    assert [silence >= least for silence, least in zip(silences, (0.0, 0.1, 0.2), strict=True)] == [True] * 3


def test_when_the_probe_succeeds_queued_requests_are_sent_together() -> None:
    under_way = 0
    seen: list[int] = []

    async def run() -> None:
        gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.02))
        together = asyncio.Barrier(5)

        async def send(key: str) -> None:
            nonlocal under_way
            under_way += 1
            seen.append(under_way)
            await (together.wait() if len(seen) > 1 else asyncio.sleep(0.05))
            under_way -= 1

        for number in range(2):
            await asyncio.gather(gate.ask(f"page {number}", answering(DOWN)), return_exceptions=True)
        async with asyncio.timeout(30):
            await asyncio.gather(*(gate.ask(f"page {number}", send) for number in range(6)))

    asyncio.run(run())
    assert seen == [1, 1, 2, 3, 4, 5]


def test_a_wait_is_announced_once_by_who_decides_on_it(caplog: pytest.LogCaptureFixture) -> None:
    """After a first failure, the page waits for its next attempt; from the second one on, all wait for a probe."""
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.001))
    assert asyncio.run(gate.ask("page 0", answering(DOWN, DOWN, DOWN), attempts=4)) == KEY
    announced = [re.sub(r" in \d+ s$", "", record.getMessage()) for record in caplog.records]
    assert announced == [
        f"page 0, attempt 1 of 4: {DOWN}; next attempt",
        *(f"page 0: {DOWN}; failure {number} in a row, next request" for number in (2, 3)),
    ]


def test_a_silence_that_the_host_asks_for_is_kept() -> None:
    gate = Gate([KEY], None, QUICK)
    start = time.monotonic()
    ask_in_turn(gate, ("a", Unavailable("503", retry_after_s=0.3)), ("b", None))
    assert time.monotonic() - start >= 0.3


def test_a_request_that_waits_for_a_slot_when_the_host_fails_gives_it_back(
    make_budget: Callable[..., NotedBudget],
) -> None:
    budget = make_budget(per_second=5)

    async def run() -> None:
        gate = Gate([KEY], budget, QUICK)
        asks_for_silence = answering(Unavailable("503", retry_after_s=1), wait_s=0.02)
        await asyncio.gather(
            gate.ask("page 0", asks_for_silence), gate.ask("page 1", answering()), return_exceptions=True
        )

    asyncio.run(run())
    first, missed, used = budget.given_out
    assert budget.given_back == [missed]
    assert used.at - first.at >= 1


# --- attempts


def test_another_attempt_comes_after_growing_waits(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate([KEY], None, RetryPolicy(first_wait_s=0.05))
    start = time.monotonic()
    wrong = RateLimited("NeoWs answered 429")
    assert asyncio.run(gate.ask("page 7", answering(wrong, wrong), attempts=5)) == KEY
    assert time.monotonic() - start >= 0.05 + 0.1
    assert [record.message for record in caplog.records] == [
        "page 7, attempt 1 of 5: NeoWs answered 429; next attempt in 0 s",
        "page 7, attempt 2 of 5: NeoWs answered 429; next attempt in 0 s",
    ]


def test_permanent_failures_are_not_retried() -> None:
    gate = Gate([KEY], None, QUICK)
    with pytest.raises(NotFound):
        asyncio.run(gate.ask("page 7", answering(NotFound("404")), attempts=5))


# --- slots and keys


class SlowBudget(NotedBudget):
    """A budget that takes a while to reserve a slot."""

    def reserve(self, without: Collection[str] = ()) -> Slot:
        slot = super().reserve(without)
        time.sleep(0.1)
        return slot


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", [NotedBudget, SlowBudget], ids=["waiting for its time", "being reserved"])
def test_a_cancelled_request_gives_its_slot_back(
    make_budget: Callable[..., NotedBudget], kind: type[NotedBudget], times: int
) -> None:
    budget = make_budget(per_second=0.01, kind=kind)
    taken = budget.reserve()

    async def run() -> None:
        waiting = asyncio.create_task(Gate([KEY], budget, QUICK).ask("page 0", answering()))
        while len(budget.given_out) < 2:
            await asyncio.sleep(0.001)
        if kind is NotedBudget:
            await asyncio.sleep(0.05)
        for _ in range(times):
            waiting.cancel()
            await asyncio.sleep(0.001)
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(run())
    assert len(budget.given_back) == 1
    assert budget.reserve().at == pytest.approx(taken.at + 100, abs=1)


def test_a_request_cancelled_while_it_exchanges_its_slot_gives_it_back(
    make_budget: Callable[..., NotedBudget],
) -> None:
    threads = ThreadPoolExecutor(1)

    class Busy(NotedBudget):
        """Every key is parked, and the thread that uses the ledger is busy afterwards."""

        def parked(self) -> set[str]:
            threads.submit(time.sleep, 0.2)
            waited.set()
            return {KEY}

    budget = make_budget(per_second=20, kind=Busy)
    budget.reserve()
    waited = threading.Event()

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(threads)
        waiting = asyncio.create_task(Gate([KEY], budget, QUICK).ask("page 0", answering()))
        while not waited.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(run())
    assert budget.given_back == budget.given_out[1:]


def test_a_slot_whose_key_is_rejected_meanwhile_is_not_used(make_budget: Callable[..., NotedBudget]) -> None:
    budget = make_budget(KEY, OTHER_KEY, per_second=5)
    used: list[str] = []

    async def send(key: str) -> None:
        used.append(key)
        if key == used[0]:
            raise KeyRejected("403")

    async def run() -> None:
        gate = Gate([KEY, OTHER_KEY], budget, QUICK)
        await asyncio.gather(*(gate.ask(f"page {number}", send) for number in range(4)))

    asyncio.run(run())
    rejected, *others = used
    assert set(others) == {KEY, OTHER_KEY} - {rejected}
    assert {slot.key for slot in budget.given_back} == {rejected}


def test_a_forecast_leaves_out_a_key_that_was_rejected(make_budget: Callable[..., NotedBudget]) -> None:
    budget = make_budget(KEY, OTHER_KEY, per_hour=5)
    asyncio.run(Gate([KEY, OTHER_KEY], budget, QUICK).ask("page 0", answering(KeyRejected("403"))))
    assert len(budget.given_out) == 2
    assert budget.forecast(5) > time.time() + 3000


def test_a_slot_whose_key_is_parked_meanwhile_is_not_used(make_budget: Callable[..., NotedBudget]) -> None:
    class ParkedMeanwhile(NotedBudget):
        def reserve(self, without: Collection[str] = ()) -> Slot:
            slot = super().reserve(without)
            if len(self.given_out) == 2:
                until.append(self.park(KEY, 1))
            return slot

    until: list[float] = []
    budget = make_budget(per_second=2, kind=ParkedMeanwhile)
    budget.reserve()
    asyncio.run(Gate([KEY], budget, QUICK).ask("page 0", answering()))
    _, parked, used = budget.given_out
    assert budget.given_back == [parked]
    assert until == [used.at]


class SleepyClock:
    """The module `time`, on a machine that sleeps for a while when told to."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.slept_s = 0.0

    def time(self) -> float:
        return time.time() + self.slept_s


@pytest.mark.parametrize("when", ["reserve", "parked"])
@pytest.mark.parametrize(("missed_s", "used"), [(4, True), (6, False)])
def test_a_slot_missed_by_more_than_five_seconds_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, missed_s: float, used: bool
) -> None:
    """While its slot is reserved, or after the wait for it, the machine sleeps."""
    clock = SleepyClock()

    class Sleepy(NotedBudget):
        def reserve(self, without: Collection[str] = ()) -> Slot:
            slot = super().reserve(without)
            self.sleep("reserve")
            return slot

        def parked(self) -> set[str]:
            self.sleep("parked")
            return super().parked()

        def sleep(self, now: str) -> None:
            if (now, len(self.given_out)) == (when, 2):
                clock.slept_s = missed_s + 0.2

    monkeypatch.setattr(module, "time", clock)
    with contextlib.closing(Sleepy(tmp_path / "ledger", "neows.example", [KEY], 10**6, 5, clock=clock.time)) as budget:
        budget.reserve()
        asyncio.run(Gate([KEY], budget, QUICK).ask("page 0", answering()))
    assert budget.given_back == ([] if used else [budget.given_out[1]])


def test_waits_that_are_shared_are_logged_once(
    make_budget: Callable[..., NotedBudget], caplog: pytest.LogCaptureFixture
) -> None:
    budget = make_budget(per_hour=8)
    over_limit = RateLimited("NeoWs answered 429", retry_after_s=2870)

    async def run() -> None:
        gate = Gate([KEY], budget, QUICK)
        asking = [
            asyncio.create_task(gate.ask(f"page {number}", answering(over_limit, wait_s=0.05), attempts=5))
            for number in range(8)
        ]
        while len(budget.given_out) < 16:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)

    asyncio.run(run())
    assert [record.message.partition(" until ")[0] for record in caplog.records] == [
        "NeoWs answered 429; this key is not used",
        "waiting for the request budget",
    ]
    assert sorted(budget.given_back, key=lambda slot: slot.at) == budget.given_out[8:]


@pytest.mark.parametrize(
    ("asked_s", "pause_s"), [(None, QUICK.key_pause_s), (30.0, 30.0), (0.001, QUICK.shortest_key_pause_s)]
)
def test_a_key_over_its_limit_rests_as_long_as_the_host_asks(
    make_budget: Callable[..., NotedBudget], asked_s: float | None, pause_s: float
) -> None:
    budget = make_budget(KEY, OTHER_KEY)
    over_limit = answering(RateLimited("429", retry_after_s=asked_s))
    assert asyncio.run(Gate([KEY, OTHER_KEY], budget, QUICK).ask("page 0", over_limit)) == budget.given_out[1].key
    assert budget.pauses_s == [pause_s]


@pytest.mark.parametrize(
    ("window_s", "pause_s"), [(None, QUICK.key_pause_s), (20.0, 20.0), (3600.0, QUICK.key_pause_s)]
)
def test_a_key_with_nothing_left_rests_for_its_window_at_most(
    make_budget: Callable[..., NotedBudget], window_s: float | None, pause_s: float
) -> None:
    budget = make_budget()
    Gate([KEY], budget, QUICK).pause(KEY, window_s)
    assert budget.pauses_s == [pause_s]


def waits_logged(budget: NotedBudget, caplog: pytest.LogCaptureFixture, *pauses_s: float) -> list[str]:
    """What is logged of the waits for a key that is parked for longer and longer."""

    async def run() -> None:
        gate, waiting = Gate([KEY], budget, QUICK), []
        for pause_s in pauses_s:
            budget.park(KEY, pause_s)
            waiting.append(asyncio.create_task(gate.ask("page 0", answering())))
            while len(budget.given_out) < len(waiting):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    asyncio.run(run())
    return [record.message for record in caplog.records]


@pytest.mark.parametrize(("pauses_s", "logged"), [([4.5], 0), ([9.5], 1), ([100, 150], 1), ([100, 170], 2)])
def test_only_waits_that_are_long_and_new_are_logged(
    make_budget: Callable[..., NotedBudget], caplog: pytest.LogCaptureFixture, pauses_s: list[float], logged: int
) -> None:
    assert len(waits_logged(make_budget(), caplog, *pauses_s)) == logged


def test_a_wait_until_another_day_is_logged_with_the_date(
    make_budget: Callable[..., NotedBudget], caplog: pytest.LogCaptureFixture
) -> None:
    [message] = waits_logged(make_budget(), caplog, 100_000)
    assert re.fullmatch(r"waiting for the request budget until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", message)


def test_a_rejected_key_is_logged_once_and_the_others_continue(
    make_budget: Callable[..., NotedBudget], caplog: pytest.LogCaptureFixture
) -> None:
    async def send(key: str) -> None:
        await asyncio.sleep(0.02)
        if key == KEY:
            raise KeyRejected("NeoWs answered 403")

    async def run() -> None:
        gate = Gate([KEY, OTHER_KEY], make_budget(KEY, OTHER_KEY), QUICK)
        await asyncio.gather(*(gate.ask(f"page {number}", send) for number in range(8)))

    asyncio.run(run())
    assert [record.message for record in caplog.records] == ["NeoWs answered 403; continuing with the other key"]
