"""The request budget at its edges: the very second, the very number, the file's mode. What it is for is tested in
`test_budget`.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from neo_assets.sources.neows.budget import DEMO_KEY, Budget, BudgetError
from neo_assets_tests.sources.neows.conftest import HOST, Clock

HOUR = 3600.0


def test_an_hour_is_ten_seconds_longer_as_requests_travel(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make(per_hour=1)
    assert [budget.reserve().at for _ in range(2)] == pytest.approx([clock.now, clock.now + HOUR + 10], abs=0.001)


def test_a_request_fits_into_a_gap_of_twice_the_distance(make: Callable[..., Budget], clock: Clock) -> None:
    budget, start = make(per_second=2), clock.now
    for clock.now in (start, start + 1):
        budget.reserve()
    clock.now = start + 0.1
    assert [budget.reserve().at - start for _ in range(2)] == [0.5, 1.5]


@pytest.mark.parametrize(("asked_at", "given"), [(0.5, 0.5), (0.6, 1.5)])
def test_a_request_goes_before_a_later_one_only_if_it_is_far_enough_from_it(
    make: Callable[..., Budget], clock: Clock, asked_at: float, given: float
) -> None:
    budget, start = make(per_second=2), clock.now
    clock.now = start + 1
    budget.reserve()
    clock.now = start + asked_at
    assert budget.reserve().at == start + given


def test_a_key_is_free_again_the_moment_its_pause_ends(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make()
    budget.park("a", 100)
    clock.now += 100
    assert budget.parked() == set()


@pytest.mark.parametrize(("back_s", "parked"), [(60, {"a"}), (60.5, set())])
def test_a_clock_set_back_by_more_than_a_minute_was_wrong_before(
    make: Callable[..., Budget], clock: Clock, back_s: float, parked: set[str]
) -> None:
    budget = make()
    budget.park("a", 100)
    clock.now -= back_s
    assert budget.parked() == parked


@pytest.mark.parametrize("within_s", [600, 599.9])
def test_a_request_at_the_very_end_is_affordable(make: Callable[..., Budget], within_s: float) -> None:
    budget = make(per_hour=1000, per_second=0.1)
    assert budget.affordable(1000, within_s=within_s, longest_wait_s=1e9) == (61 if within_s == 600 else 60)


@pytest.mark.parametrize(("longest_wait_s", "affordable"), [(10, 61), (9.9, 1)])
def test_a_wait_that_is_just_allowed_is_affordable(
    make: Callable[..., Budget], longest_wait_s: float, affordable: int
) -> None:
    assert make(per_hour=1000, per_second=0.1).affordable(61, HOUR, longest_wait_s) == affordable


def test_requests_a_day_are_those_of_all_keys_and_of_the_strictest_limit(make: Callable[..., Budget]) -> None:
    assert make("a", per_hour=10).per_day() == pytest.approx(240, rel=0.01)
    both = make("ab", per_hour=10)
    assert both.per_day() == pytest.approx(480, rel=0.01)
    both.learn_limit("a", 5)
    assert both.per_day() == pytest.approx(360, rel=0.01)
    both.learn_limit("a", 12, window_s=24 * HOUR)
    assert both.per_day() == pytest.approx(252, rel=0.01)
    assert make([DEMO_KEY]).per_day() == pytest.approx(50, rel=0.01)


def test_a_limit_stated_for_the_same_window_as_the_demo_keys_does_not_raise_it(
    make: Callable[..., Budget], clock: Clock
) -> None:
    budget = make([DEMO_KEY], per_hour=1000)
    budget.learn_limit(DEMO_KEY, 500)
    assert sum(budget.reserve().at < clock.now + HOUR for _ in range(40)) == 30


def test_the_ledger_keeps_the_requests_of_a_day(make: Callable[..., Budget], clock: Clock, tmp_path: Path) -> None:
    budget = make()

    def kept() -> int:
        budget.reserve()
        with contextlib.closing(sqlite3.connect(tmp_path / "state/requests.sqlite")) as db:
            return int(db.execute("SELECT count(*) FROM requests").fetchone()[0])

    assert kept() == 1
    clock.now += 24 * (HOUR + 10)
    assert kept() == 2
    clock.now += 2 * HOUR
    assert kept() == 2, "the first has left"


def test_a_forecast_leaves_out_the_refused_key_and_no_other(make: Callable[..., Budget], clock: Clock) -> None:
    both = make("ab", per_hour=5)
    for _ in range(5):
        both.reserve(without={"b"})
    both.refuse("a")
    assert both.forecast(5) < clock.now + 1, "the other key is fresh"


def test_the_ledger_and_its_directories_are_made(tmp_path: Path, clock: Clock) -> None:
    ledger = tmp_path / "not/there/yet/requests.sqlite"
    with contextlib.closing(Budget(ledger, HOST, ["a"], 1, 1, clock=clock)) as budget:
        budget.reserve()
    assert ledger.exists()


def test_a_ledger_may_be_used_by_all_who_may_write_beside_it(tmp_path: Path, clock: Clock) -> None:
    tmp_path.chmod(0o777)
    with contextlib.closing(Budget(tmp_path / "ledger", HOST, ["a"], 1, 1, clock=clock)) as budget:
        budget.reserve()
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o666


def test_the_mode_of_a_ledger_that_is_there_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "ledger").touch(mode=0o600)
    (tmp_path / "ledger").chmod(0o600)
    tmp_path.chmod(0o777)
    with contextlib.closing(Budget(tmp_path / "ledger", HOST, ["a"], 1, 1, clock=clock)) as budget:
        budget.reserve()
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600


def test_a_closed_budget_opens_its_ledger_again(make: Callable[..., Budget]) -> None:
    budget = make(per_hour=1)
    first = budget.reserve()
    budget.close()
    budget.close()
    assert budget.reserve().at > first.at + HOUR


def test_a_closed_budget_keeps_no_file_open(make: Callable[..., Budget], tmp_path: Path) -> None:
    def is_open() -> bool:
        return any(Path(file.path).is_relative_to(tmp_path) for file in psutil.Process().open_files())

    budget = make()
    budget.reserve()
    assert is_open()
    budget.close()
    assert not is_open()


def test_a_ledger_that_cannot_be_used_is_not_kept_open(make: Callable[..., Budget], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "requests.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(BudgetError) as refused:
        make().reserve()
    opened = [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(tmp_path)]
    assert opened == [], f"after {refused.value}"


def test_a_key_has_the_same_name_in_the_ledgers_of_all_versions(
    make: Callable[..., Budget], clock: Clock, tmp_path: Path
) -> None:
    """They share one ledger; under another name, the requests that are in it would not count."""
    budget = make()
    budget.reserve()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "requests.sqlite")) as ledger:
        assert ledger.execute("SELECT host, key, at FROM requests").fetchall() == [
            (HOST, hashlib.sha256(f"{HOST} a".encode()).hexdigest()[:20], clock.now)
        ]


def test_what_fails_halfway_is_undone_and_the_ledger_can_be_used_again(tmp_path: Path, clock: Clock) -> None:
    broken: list[OSError] = []

    def now() -> float:
        if broken:
            raise broken.pop()
        return clock.now

    with contextlib.closing(Budget(tmp_path / "ledger", HOST, ["a"], 10, 10, clock=now)) as budget:
        broken.append(OSError("no clock"))
        with pytest.raises(BudgetError, match="no clock"):
            budget.reserve()
        assert budget.reserve().at == clock.now


def test_requests_to_another_host_need_no_distance(make: Callable[..., Budget], clock: Clock) -> None:
    budget, other, start = make(per_second=2), make(per_second=2, host="other.example"), clock.now
    budget.reserve()
    clock.now = start + 0.5
    other.reserve()
    clock.now = start + 0.1
    assert budget.reserve().at == start + 0.5


def test_a_key_may_be_refused_again(make: Callable[..., Budget]) -> None:
    budget = make()
    budget.refuse("a")
    budget.refuse("a")
    assert budget.reserve().key == "a"


def test_one_slot_is_given_back_and_no_other(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab", per_hour=1)
    _, second = budget.reserve(), budget.reserve()
    budget.give_back(second)
    assert budget.reserve().key == second.key
    assert budget.reserve().at > clock.now + HOUR


def test_what_is_left_can_be_sent_at_once(make: Callable[..., Budget], clock: Clock, tmp_path: Path) -> None:
    budget, other = make("ab", per_hour=3), make("ab", per_hour=3)
    ledger = tmp_path / "state" / "requests.sqlite"
    assert [one.left for one in other.left()] == [3, 3]
    assert not ledger.exists(), "nothing is made by looking"
    budget.reserve(without="b")
    assert [(one.left, one.allowed) for one in other.left()] == [(2, 3), (3, 3)]
    assert all(budget.reserve().at < clock.now + 1 for _ in range(5))
    assert [one.left for one in other.left()] == [0, 0]
    budget.reserve()
    assert [one.left for one in other.left()] == [0, 0], "one waits for the next hour"
    clock.now += 3700
    assert sorted(one.left for one in other.left()) == [2, 3]


def test_what_is_left_is_told_by_the_strictest_limit(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make([DEMO_KEY], per_hour=100)
    for _ in range(30):
        budget.reserve()
    [demo] = budget.left()
    assert (demo.left, demo.allowed, round(demo.window_s)) == (0, 30, 3610)
    clock.now += 3700
    [demo] = budget.left()
    assert (demo.left, demo.allowed, round(demo.window_s)) == (20, 50, 86640)


def test_looking_at_what_is_left_waits_for_nobody(make: Callable[..., Budget], clock: Clock, tmp_path: Path) -> None:
    budget = make()
    budget.reserve()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "requests.sqlite")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert [one.left for one in make().left()] == [9]
    clock.now -= 1_000
    assert [one.left for one in budget.left()] == [10], "the clock was ahead"


def test_it_tells_until_when_a_key_is_not_used(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab")
    until = budget.park("a", 100)
    assert [one.parked_until for one in budget.left()] == [until, None]
    clock.now = until
    assert [one.parked_until for one in budget.left()] == [None, None]


def test_a_request_is_over_at_the_end_of_its_hour(make: Callable[..., Budget], clock: Clock) -> None:
    budget = make("ab")
    assert budget.reserve().key == "a"
    clock.now += HOUR + 10
    assert [one.left for one in budget.left()] == [10, 10]
    assert budget.reserve().key == "a", "none is used more than the other"


@pytest.mark.parametrize(("hours", "refused"), [(24.5, True), (25, True), (25.1, False)])
def test_a_refusal_is_forgotten_after_25_hours(
    make: Callable[..., Budget], clock: Clock, hours: float, refused: bool
) -> None:
    """A day, and an hour to spare."""
    budget = make("a")
    budget.refuse("a")
    clock.now += hours * (HOUR + 10)
    budget.reserve()
    assert [one.refused for one in budget.left()] == [refused]
