"""Pages that are fetched before they are asked for, while the caller computes others. The caller decides which pages
these are; `client` knows how a page is fetched.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from neo_assets.schema.pages import Page


class Ahead:
    """Pages being fetched ahead, and those that have arrived. Only the event loop's thread may use it."""

    def __init__(self, concurrency: int) -> None:
        """
        Args:
            concurrency: maximum number of pages requested at the same time.
        """
        self._tasks: dict[int, asyncio.Task[Page]] = {}
        self._sent = Counter[int]()
        self._room = asyncio.Semaphore(concurrency)

    def start(self, numbers: Iterable[int], fetch: Callable[[int], Awaitable[Page]]) -> None:
        """Start to fetch these pages."""

        async def fetch_in_turn(number: int) -> Page:
            async with self._room:
                return await fetch(number)

        for number in numbers:
            task = self._tasks[number] = asyncio.create_task(fetch_in_turn(number))
            task.add_done_callback(_mark_as_seen)

    def count(self, number: int) -> None:
        """Note that a page is being requested; only pages fetched ahead count."""
        if number in self._tasks:
            self._sent[number] += 1

    @property
    def requests(self) -> int:
        """Requests sent for pages that nobody has asked for yet, repeated ones included."""
        return self._sent.total()

    def hand_over(self, numbers: Iterable[int]) -> dict[int, asyncio.Task[Page]]:
        """The tasks of those of these pages that are fetched ahead. All others are given up."""
        wanted = {number: self._tasks.pop(number) for number in numbers if number in self._tasks}
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._sent.clear()
        return wanted


def _mark_as_seen(task: asyncio.Task[Page]) -> None:
    """Keep asyncio from reporting the error of a page that is given up."""
    if not task.cancelled():
        task.exception()
