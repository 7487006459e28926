"""An event loop in a thread: calls, and what happens to them when the caller is interrupted."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from neo_assets.sources.neows.loop_thread import LoopThread

events: list[str] = []


@contextlib.asynccontextmanager
async def resource() -> AsyncIterator[None]:
    events.append("opened")
    yield
    events.append("closed")


async def wait(seconds: float) -> str:
    """Wait, and record how the wait ended; being cancelled takes a moment."""
    try:
        events.append("waiting")
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)
        events.append("cancelled")
        raise
    return threading.current_thread().name


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    events.clear()
    loop = LoopThread(resource(), "a loop")
    yield loop
    loop.close()


def test_a_function_runs_in_the_thread_between_opening_and_closing(loop: LoopThread) -> None:
    assert loop.call(wait, 0) == "a loop"
    assert not loop.ended
    loop.close()
    assert loop.ended
    assert events == ["opened", "waiting", "closed"]


def test_an_error_is_raised_in_the_caller(loop: LoopThread) -> None:
    async def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match=r"^wrong$"):
        loop.call(fail)


def test_an_interrupt_cancels_the_function_and_propagates_once_it_has_ended(loop: LoopThread) -> None:
    def interrupt() -> None:
        while "waiting" not in events:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        loop.call(wait, 60)
    assert events[-1] == "cancelled"
    assert loop.call(wait, 0) == "a loop", "the next call is served"


def test_closing_cancels_running_functions_before_the_resource_closes(loop: LoopThread) -> None:
    async def start() -> None:
        running.append(asyncio.create_task(wait(60)))
        await asyncio.sleep(0)

    running: list[asyncio.Task[str]] = []
    loop.call(start)
    loop.close()
    assert events == ["opened", "waiting", "cancelled", "closed"]


def test_it_may_be_stopped_from_within_without_waiting(loop: LoopThread) -> None:
    async def stop() -> None:
        loop.stop()

    loop.call(stop)
    loop.close()
    assert events == ["opened", "closed"]


def test_nothing_can_be_called_after_the_end(loop: LoopThread) -> None:
    loop.close()
    loop.close()
    loop.stop()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call(wait, 0)
