"""Leases: of several processes, one has it, whatever dies or overlaps."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from neo_assets.lake import layout
from neo_assets.lake.lease import Busy, leased, leased_in_turn
from neo_assets.lake.storage import Storage

HOUR = timedelta(hours=1)
OVER = b'{"until": "2026-03-01T12:00:00+00:00"}'


def take(lake: Storage) -> None:
    with leased(lake, layout.ALERTS_LEASES, HOUR):
        pass


def until(lake: Storage) -> str:
    """The content of the last lease."""
    return str(lake.read(lake.files(layout.ALERTS_LEASES)[-1].path).to_pybytes())


def test_while_one_has_it_another_is_refused(lake: Storage) -> None:
    for _ in range(2):
        with leased(lake, layout.ALERTS_LEASES, HOUR):
            for _ in range(2):
                with pytest.raises(Busy):
                    take(lake)
    take(lake)
    assert len(lake.files("")) == 1


def test_it_ends_with_what_it_is_for_even_if_that_fails(lake: Storage) -> None:
    with pytest.raises(ZeroDivisionError), leased(lake, layout.ALERTS_LEASES, HOUR):
        raise ZeroDivisionError
    take(lake)


@pytest.mark.parametrize("left", [OVER, b"", b"{}", b"[]", b'{"until": "2999-01-01"}'])
def test_the_lease_of_a_killed_process_ends(lake: Storage, left: bytes) -> None:
    lake.write(layout.lease(layout.ALERTS_LEASES, 1), left)
    take(lake)
    with leased(lake, layout.ALERTS_LEASES, HOUR), pytest.raises(Busy):
        take(lake)


def test_renewing_makes_it_last_longer(lake: Storage) -> None:
    with leased(lake, layout.ALERTS_LEASES, HOUR) as renew:
        first = until(lake)
        renew()
        assert until(lake) > first


def test_one_that_was_suspended_while_another_took_over_is_refused_and_ends_nothing(lake: Storage) -> None:
    lease = leased(lake, layout.ALERTS_LEASES, timedelta(0))
    renew = lease.__enter__()
    with leased(lake, layout.ALERTS_LEASES, HOUR):
        with pytest.raises(Busy):
            renew()
        lease.__exit__(None, None, None)
        with pytest.raises(Busy):
            take(lake)


@pytest.mark.parametrize("sessions", [1, 2])
def test_of_two_that_find_an_expired_one_at_the_same_time_one_takes_over(
    lake: Storage, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one is held up between finding and taking over, while the other one has it, for the first or second time."""
    lake.write(layout.lease(layout.ALERTS_LEASES, 1), OVER)
    other, read = Storage(lake.root), lake.read
    has_it, done = threading.Event(), threading.Event()

    def other_process() -> None:
        for _ in range(sessions - 1):
            take(other)
        with leased(other, layout.ALERTS_LEASES, HOUR):
            has_it.set()
            done.wait()

    process = threading.Thread(target=other_process)

    def held_up(path: str) -> Any:
        found = read(path)
        if not process.ident:
            process.start()
            has_it.wait()
        return found

    monkeypatch.setattr(lake, "read", held_up)
    try:
        with pytest.raises(Busy):
            take(lake)
        with pytest.raises(Busy):
            take(lake)
    finally:
        done.set()
        process.join()
    take(lake)


def test_one_that_waits_for_its_turn_gives_up_after_three_times_as_long_as_a_lease_lasts(lake: Storage) -> None:
    with leased(lake, layout.ALERTS_LEASES, HOUR):
        begun = time.monotonic()
        with pytest.raises(Busy), leased_in_turn(lake, layout.ALERTS_LEASES, timedelta(seconds=0.1)):
            pass
        assert time.monotonic() - begun >= 0.3
    with leased_in_turn(lake, layout.ALERTS_LEASES, HOUR), pytest.raises(Busy):
        take(lake)
