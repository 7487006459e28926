"""The request budget, on a fake clock: it is never exceeded, whatever the processes, keys and stated limits."""

import itertools
import multiprocessing
import multiprocessing.queues
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.sources.neows.budget import DEMO_KEY, Budget, BudgetError, Slot
from neo_assets_tests.sources.neows.conftest import HOST, Clock

HOUR = 3600.0


def assert_within(slots: Iterable[Slot], per_hour: int, hour: float = HOUR) -> None:
    """No rolling hour holds more than `per_hour` slots of one key."""
    by_key = defaultdict(list)
    for slot in slots:
        by_key[slot.key].append(slot.at)
    for times in map(sorted, by_key.values()):
        assert all(later - earlier > hour for earlier, later in zip(times, times[per_hour:], strict=False))


steps = st.lists(st.one_of(st.just("ask"), st.just("ask"), st.just("wait for it"), st.floats(0, 2 * HOUR)), max_size=60)


@given(
    keys=st.integers(1, 3),
    per_hour=st.integers(1, 6),
    per_second=st.sampled_from([0.01, 2, 1000]),
    steps=steps,
)
@settings(max_examples=60)
def test_no_key_ever_exceeds_its_limit(keys: int, per_hour: int, per_second: float, steps: list[Any]) -> None:
    clock, slots = Clock(), []
    with tempfile.TemporaryDirectory() as place:
        budget = Budget(Path(place, "ledger"), HOST, "abc"[:keys], per_hour, per_second, clock=clock)
        for step in steps:
            if isinstance(step, float):
                clock.now += step
                continue
            slots.append(budget.reserve())
            assert slots[-1].at >= clock.now
            if step == "wait for it":
                clock.now = slots[-1].at
        budget.close()
    assert_within(slots, per_hour)
    times = [slot.at for slot in slots]
    assert all(later - earlier > 1 / per_second - 1e-6 for earlier, later in itertools.pairwise(times))


def test_the_whole_budget_can_be_spent_at_once(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make(per_hour=10)
    slots = [budget.reserve() for _ in range(11)]
    assert max(slot.at for slot in slots[:10]) < clock.now + 0.001
    assert clock.now + HOUR < slots[10].at < clock.now + HOUR + 60


def test_requests_keep_their_distance_over_all_keys(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_second=2)
    assert [budget.reserve().at - clock.now for _ in range(4)] == pytest.approx([0, 0.5, 1, 1.5])


def test_the_least_used_key_goes_first(make: Callable[..., Budget], clock: Clock) -> None:
    make("a").reserve()
    both = make("ab")
    clock.now += 10
    assert [both.reserve().key for _ in range(3)].count("b") == 2
    assert sorted(both.reserve().key for _ in range(16)) == ["a"] * 8 + ["b"] * 8


def test_a_parked_key_is_skipped_until_its_time_is_over(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab")
    assert budget.park("a", 100) == clock.now + 100
    assert budget.parked() == {"a"}
    assert {budget.reserve().key for _ in range(5)} == {"b"}
    clock.now += 101
    assert budget.parked() == set()
    assert budget.reserve().key == "a"


def test_a_key_parked_twice_waits_for_the_later_end(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make()
    budget.park("a", 100)
    budget.park("a", 10)
    assert budget.reserve().at == clock.now + 100


def test_all_keys_parked_means_waiting_for_the_first(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab")
    budget.park("a", 100)
    budget.park("b", 50)
    assert budget.reserve() == Slot("b", clock.now + 50)


@pytest.mark.parametrize(("stated", "heeded"), [(3, 3), (1000, 10)])
def test_the_lower_of_stated_and_configured_limit_wins(
    make: Callable[..., Budget], clock: Clock, stated: int, heeded: int
) -> None:
    budget = make(per_hour=10)
    budget.learn_limit("a", stated)
    slots = [budget.reserve() for _ in range(20)]
    assert_within(slots, heeded)
    assert sum(slot.at < clock.now + HOUR for slot in slots) == heeded


def test_a_limit_learnt_late_counts_what_was_asked_before(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make(per_hour=10)
    for _ in range(8):
        budget.reserve()
    budget.learn_limit("a", 5)
    assert budget.reserve().at > clock.now + HOUR


def test_a_stated_window_is_kept_beside_the_configured_hour(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make(per_hour=10)
    budget.learn_limit("a", 3, window_s=20)
    slots = [budget.reserve() for _ in range(21)]
    assert_within(slots, 3, hour=20)
    assert_within(slots, 10)
    assert slots[9].at < clock.now + 61
    assert clock.now + HOUR < slots[10].at < clock.now + HOUR + 60


def test_a_limit_that_is_no_longer_stated_is_forgotten(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make(per_hour=10)
    budget.learn_limit("a", 1, window_s=20)
    assert [budget.reserve().at > clock.now + 20 for _ in range(2)] == [False, True]
    budget.learn_limit("a", None)
    assert [budget.reserve().at > clock.now + 21 for _ in range(8)] == [False] * 8


def test_the_demo_key_has_nasas_limits_in_a_stated_window(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make([DEMO_KEY], per_hour=1000)
    budget.learn_limit(DEMO_KEY, 30, window_s=20)
    slots = [budget.reserve() for _ in range(51)]
    assert sum(slot.at < clock.now + 20 for slot in slots) == 30
    assert sum(slot.at < clock.now + 24 * 20 for slot in slots) == 50
    assert slots[-1].at < clock.now + 24 * 21


def test_the_demo_key_has_nasas_limits_for_it(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make([DEMO_KEY], per_hour=1000)
    slots = [budget.reserve() for _ in range(51)]
    assert sum(slot.at < clock.now + HOUR for slot in slots) == 30
    assert sum(slot.at < clock.now + 24 * HOUR for slot in slots) == 50


def test_a_key_may_be_left_out(make: Callable[..., Budget]) -> None:
    budget = make("ab")
    assert {budget.reserve(without={"a"}).key for _ in range(5)} == {"b"}


def test_a_forecast_is_the_time_of_the_last_request_and_spends_nothing(
    make: Callable[..., Budget], clock: Clock
) -> None:
    budget = make("ab", per_hour=5)
    assert budget.forecast(0) == clock.now
    for requests in (1, 10, 11, 25):
        foreseen = budget.forecast(requests)
        assert foreseen == budget.forecast(requests)
        assert requests > 10 or foreseen < clock.now + 1
        assert requests <= 10 or foreseen > clock.now + HOUR
    foreseen = budget.forecast(25)
    assert [budget.reserve().at for _ in range(25)][-1] == foreseen


def test_a_forecast_counts_a_parked_key_only_from_when_it_is_free(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_hour=5)
    budget.park("a", 600)
    assert budget.forecast(5) < clock.now + 1
    assert clock.now + 600 <= budget.forecast(6) < clock.now + 601


def test_a_forecast_leaves_out_keys_that_the_host_refuses(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_hour=5)
    budget.refuse("a")
    assert [budget.forecast(requests) > clock.now + HOUR for requests in (5, 6)] == [False, True]
    assert make("ab", per_hour=5).forecast(6) > clock.now + HOUR, "another process knows it too"
    assert {budget.reserve().key for _ in range(2)} == {"a", "b"}, "the next run tries the key again"
    budget.refuse("b")
    assert budget.forecast(8) < clock.now + 1, "with no key left, a run tries them all again"


def test_a_refused_key_counts_again_once_the_host_accepts_it(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_hour=5)
    budget.refuse("a")
    budget.learn_limit("a", 1000)
    assert budget.forecast(10) < clock.now + 1
    budget.refuse("a")
    clock.now += 26 * HOUR
    assert budget.forecast(10) < clock.now + 1, "and after a day"


AFFORDABLE = {"within_s": HOUR, "longest_wait_s": 600.0}


def test_what_is_affordable_is_what_can_be_sent_without_a_long_wait(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_hour=5)
    budget.reserve()
    assert [budget.affordable(wanted, **AFFORDABLE) for wanted in (0, 3, 9, 100)] == [0, 3, 9, 9]
    assert budget.affordable(100, **AFFORDABLE) == 9, "asking spends nothing"
    for _ in range(9):
        budget.reserve()
    assert budget.affordable(100, **AFFORDABLE) == 0
    clock.now += HOUR - 500
    assert budget.affordable(100, **AFFORDABLE) == 10, "in 500 seconds they are free again"
    assert budget.affordable(100, HOUR, 400) == 0
    budget.park("a", 1200)
    assert budget.affordable(100, **AFFORDABLE) == 5


def test_what_can_be_sent_only_later_is_not_affordable(make: Callable[..., Budget]) -> None:
    budget = make(per_hour=1000, per_second=0.1)
    assert budget.affordable(1000, within_s=600, longest_wait_s=600) == 61


@pytest.mark.parametrize(
    ("key", "per_hour", "pages", "by_hour"),
    [("a", 1000, 2100, [1000, 1000, 100, 0]), (DEMO_KEY, 1000, 200, [30, 20, *[0] * 22, 30, 20, 0])],
)
def test_a_tick_every_hour_uses_each_hour_whole_and_no_day_twice(
    make: Callable[..., Budget], clock: Clock, key: str, per_hour: int, pages: int, by_hour: list[int]
) -> None:
    """As `daily_refresh` does: what one tick may start, its runs send within minutes, however late they begin."""
    budget, found = make([key], per_hour=per_hour, per_second=2), []
    start = clock.now
    for hour in range(len(by_hour)):
        clock.now = start + hour * HOUR
        found.append(budget.affordable(pages, **AFFORDABLE))
        pages -= found[-1]
        for _ in range(found[-1]):
            clock.now = max(clock.now, budget.reserve().at)
    assert found == by_hour


def test_a_restart_forgets_nothing(make: Callable[..., Budget], clock: Clock) -> None:
    before = make(per_hour=2)
    before.learn_limit("a", 2)
    before.park("a", 5)
    before.reserve()
    before.close()
    after = make(per_hour=1000)
    assert after.parked() == {"a"}
    assert after.reserve().at < clock.now + HOUR
    assert after.reserve().at > clock.now + HOUR


def test_a_key_added_later_does_not_wait_for_the_others(make: Callable[..., Budget], clock: Clock) -> None:
    used_up = make("a", per_hour=1)
    assert [used_up.reserve().at > clock.now + HOUR for _ in range(2)] == [False, True]
    slot = make("ab", per_hour=1).reserve()
    assert slot.key == "b"
    assert slot.at == pytest.approx(clock.now, abs=1)


def test_budgets_of_different_hosts_are_independent(make: Callable[..., Budget], clock: Clock) -> None:
    one, other = make(per_hour=1), make(per_hour=1, per_second=0.001, host="localhost:8000")
    one.reserve()
    assert other.reserve().at == clock.now
    one.park("a", 100)
    assert other.parked() == set()


def test_the_ledger_holds_no_key_in_clear(make: Callable[..., Budget], tmp_path: Path) -> None:
    key = "Zk3fQ9xP0123456789"
    budget = make([key])
    budget.reserve()
    budget.park(key, 10)
    files = list((tmp_path / "state").iterdir())
    assert files
    assert all(key.encode() not in file.read_bytes() for file in files)


def test_old_requests_are_forgotten(make: Callable[..., Budget], clock: Clock, tmp_path: Path) -> None:
    budget = make(per_hour=100_000)
    for _ in range(200):
        budget.reserve()
    size = sum(file.stat().st_size for file in (tmp_path / "state").iterdir())
    for _ in range(5):
        clock.now += 26 * HOUR
        for _ in range(200):
            budget.reserve()
    assert sum(file.stat().st_size for file in (tmp_path / "state").iterdir()) < 4 * size


@pytest.mark.parametrize("ahead", [120, 2 * HOUR, 3 * 24 * HOUR, 366 * 24 * HOUR])
def test_a_clock_that_was_ahead_is_healed(make: Callable[..., Budget], clock: Clock, ahead: float) -> None:
    budget, now = make("ab", per_hour=10), clock.now
    for _ in range(5):
        budget.reserve()
    clock.now += ahead
    for _ in range(25):
        budget.reserve()
    budget.park("a", 24 * HOUR)
    budget.refuse("b")
    clock.now = now + 30
    assert budget.forecast(15) < clock.now + 1
    assert budget.parked() == set()
    slots = [budget.reserve() for _ in range(16)]
    assert [slot.at < clock.now + 1 for slot in slots[:15]] == [True] * 15
    if ahead < 24 * HOUR:
        assert slots[15].at > clock.now + HOUR - 60, "requests from before still count"


def test_a_key_parked_by_a_clock_that_was_ahead_is_used_again(make: Callable[..., Budget], clock: Clock) -> None:
    budget, now = make(), clock.now
    clock.now += 3 * 24 * HOUR
    budget.park("a", 60)
    clock.now = now
    assert budget.park("a", 10) == now + 10
    assert budget.reserve().at == now + 10


def test_a_clock_that_is_set_back_a_little_changes_nothing(make: Callable[..., Budget], clock: Clock) -> None:
    budget, now = make(per_hour=2), clock.now
    budget.reserve()
    budget.reserve()
    budget.park("a", 100)
    clock.now = now - 5
    assert budget.parked() == {"a"}
    assert budget.reserve().at > now + HOUR


def test_an_unusable_ledger_is_reported_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    ledger = tmp_path / "file" / "requests.sqlite"
    with pytest.raises(
        BudgetError, match=f"{ledger} cannot be used .*: make it and its directory writable .*, or set NEO_REQUEST_L"
    ):
        Budget(ledger, HOST, ["a"], 10, 2).reserve()


def test_a_ledger_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"<html>" * 1_000)
    budget = Budget(tmp_path / "ledger", HOST, ["a"], 10, 2)
    with pytest.raises(BudgetError, match="ledger cannot be used"):
        budget.reserve()


# --- several at once


def spend(ledger: Path, requests: int) -> list[Slot]:
    budget = Budget(ledger, HOST, ["a", "b"], 15, 10_000)
    slots = [budget.reserve() for _ in range(requests)]
    budget.close()
    return slots


def test_processes_share_one_budget(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        slots = [slot for part in processes.map(spend, [tmp_path / "ledger"] * 2, [25, 25]) for slot in part]
    assert len({slot.at for slot in slots}) == 50
    assert_within(slots, 15)


def test_a_new_ledger_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    at_once = threading.Barrier(8)

    def open_and_spend(_: int) -> list[Slot]:
        at_once.wait()
        return spend(tmp_path / "ledger", 5)

    with ThreadPoolExecutor(8) as threads:
        slots = [slot for part in threads.map(open_and_spend, range(8)) for slot in part]
    assert len({slot.at for slot in slots}) == 40
    assert_within(slots, 15)


def test_threads_share_one_budget(make: Callable[..., Budget]) -> None:
    budget = make("ab", per_hour=15)
    with ThreadPoolExecutor(8) as threads:
        slots = list(threads.map(lambda _: budget.reserve(), range(60)))
    assert_within(slots, 15)


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that all accounts may write to; outside pytest's own, which belongs to one account."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def spend_as_nobody(ledger: Path, slots: "multiprocessing.queues.Queue[list[Slot]]") -> None:
    os.setgid(65_534)
    os.setuid(65_534)
    slots.put(spend(ledger, 10))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may take another account")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_accounts_that_share_a_ledger_share_one_budget(shared_directory: Path) -> None:
    ledger, fork = shared_directory / "requests.sqlite", multiprocessing.get_context("fork")
    queue: multiprocessing.queues.Queue[list[Slot]] = fork.Queue()
    ours = spend(ledger, 10)
    nobody = fork.Process(target=spend_as_nobody, args=(ledger, queue))
    nobody.start()
    theirs = queue.get(timeout=120)
    nobody.join()
    assert_within([*ours, *theirs, *spend(ledger, 10)], 15)


def test_a_ledger_in_a_private_directory_is_private(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    spend(tmp_path / "private/requests.sqlite", 1)
    assert (tmp_path / "private/requests.sqlite").stat().st_mode & 0o777 == 0o600
