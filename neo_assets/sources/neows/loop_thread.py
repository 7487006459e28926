"""An event loop in a thread of its own, for callers that are not async. It does not depend on what runs in it.

Ctrl-C then interrupts the calling thread, which cancels its call. If the main thread ran the loop, Ctrl-C could
interrupt a callback, which would swallow it, or leave a task waiting for a wake-up that never comes.
"""

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

T = TypeVar("T")

_CHECK_S = 1.0
"""Interval at which a waiting caller checks that the loop still runs."""


class LoopThread:
    """Runs async functions around one async resource, which it opens first and closes last."""

    def __init__(self, resource: AbstractAsyncContextManager[object], name: str) -> None:
        """Start the thread; it ends with `close`, soon after `stop`, or with the process.

        Args:
            resource: the resource that the functions use.
            name: the thread's name.
        """
        self._resource = resource
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def ended(self) -> bool:
        """Whether the thread has ended, so that nothing can be called any more."""
        return not self._thread.is_alive()

    def call(self, function: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """Run an async function in the loop, and return its result.

        If an exception such as KeyboardInterrupt interrupts the wait, the function is cancelled; the exception
        propagates once the function has ended.

        Raises:
            RuntimeError: the thread has ended.
        """
        tasks: list[asyncio.Task[T]] = []
        ended = threading.Event()

        async def run() -> T:
            return await function(*arguments)

        def start() -> None:
            tasks.append(self._loop.create_task(run()))
            tasks[0].add_done_callback(lambda _: ended.set())

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:  # interrupted before `start` ran
                ended.set()

        try:
            self._loop.call_soon_threadsafe(start)
            while not ended.wait(_CHECK_S):
                if self.ended:  # another thread closed it before `start` ran
                    raise RuntimeError(f"the event loop {self._thread.name} has ended")
        except BaseException:
            self._loop.call_soon_threadsafe(cancel)
            ended.wait()
            raise
        return tasks[0].result()

    def stop(self) -> None:
        """Ask the thread to end, without waiting for it. Takes no lock, so a finalizer may call it anywhere."""
        with contextlib.suppress(RuntimeError):  # the loop is already closed
            self._loop.call_soon_threadsafe(self._stopping.set)

    def close(self) -> None:
        """End the thread and wait for it. Functions still running in it are cancelled."""
        self.stop()
        self._thread.join()

    def _run(self) -> None:
        # Not asyncio.Runner: it starts a thread to end the executor, which Python 3.12 refuses while a process ends.
        with ThreadPoolExecutor() as executor, contextlib.closing(self._loop) as loop:
            loop.set_default_executor(executor)
            loop.run_until_complete(self._serve())
            loop.run_until_complete(loop.shutdown_asyncgens())
        atexit.unregister(self.close)

    async def _serve(self) -> None:
        async with self._resource:
            await self._stopping.wait()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
