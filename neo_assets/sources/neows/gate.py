"""The gate that every request to NeoWs passes: when it may go out, with which key, and whether it is tried again.

The only place that waits: for the budget, for a host that is out of order, and before another attempt. How a request is
sent and what its answer means is not known here.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.budget import Budget, Slot
from neo_assets.sources.neows.errors import KeyRejected, NeoWsError, RateLimited
from neo_assets.sources.neows.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SHORTEST_ANNOUNCED_S = 5.0
"""A shorter wait for the budget is not logged."""

_ANNOUNCED_AGAIN_S = 60.0
"""A wait is logged again only if it ends this much later than the one logged before."""

_STALE_S = 5.0
"""A slot missed by this much, as when the machine slept, is no longer covered by the budget."""


class Gate:
    """The keys for one host, their budget, and how the host fares. Belongs to one event loop."""

    def __init__(self, keys: Iterable[str], budget: Budget | None, policy: RetryPolicy) -> None:
        """
        Args:
            keys: the API keys, at least one.
            budget: paces the requests and picks the key; None sends at once, with the first key not rejected.
            policy: how patient to be.
        """
        self._keys = tuple(dict.fromkeys(keys))
        self._budget = budget
        self._policy = policy
        self._breaker = Breaker(policy)
        self._probe = asyncio.Lock()
        self._rejected: dict[str, KeyRejected] = {}
        self._announced: dict[str, float] = {}

    def reopen(self) -> None:
        """Let requests out again after an outage: whoever asks again wants to know whether it is over."""
        if self._breaker.tripped:
            self._breaker.reset()

    async def ask(self, what: str, send: Callable[[str], Awaitable[T]], attempts: int = 1) -> T:
        """Send a request as soon as it may go out, and again where that may help.

        Args:
            what: what is asked for, such as a page.
            send: sends the request with the key it is given, and returns what came.
            attempts: how often to try at most. A change to another key is not another attempt.

        Raises:
            NeoWsError: the last attempt failed, or another would not help.
            BudgetError: the budget's ledger cannot be used.
        """
        for attempt in itertools.count(1):
            try:
                return await self._ask_once(what, send)
            except NeoWsError as error:
                if attempt == attempts or not error.retryable or self._breaker.tripped:
                    raise
                await self._back_off(f"{what}, attempt {attempt} of {attempts}", attempt, error)
        raise AssertionError  # the loop has no end

    def learn_limit(self, key: str, per_hour: int) -> None:
        """Keep to the hourly limit that the host states for a key."""
        if self._budget:
            self._budget.learn_limit(key, per_hour)

    def pause(self, key: str) -> None:
        """Leave a key alone for a while; the other keys carry on."""
        if self._budget:
            self._budget.park(key, self._policy.key_pause_s)

    async def _ask_once(self, what: str, send: Callable[[str], Awaitable[T]]) -> T:
        """One attempt, with as many keys as it takes to find one that is accepted."""
        while True:
            probing = self._breaker.probing
            async with self._probe if probing else contextlib.nullcontext():
                if probing and not self._breaker.probing:  # the host recovered while this request queued
                    continue
                self._breaker.refuse_if_tripped()
                await asyncio.sleep(self._breaker.silence_s)
                slot = await self._slot()  # after the silence, in which it would go stale
                if self._breaker.probing and not probing:  # the host failed while this request waited for its slot
                    await self._give_back(slot)
                    continue
                try:
                    return await self._send(what, slot.key, send)
                except KeyRejected as error:
                    if not self._reject(slot.key, error):
                        raise
                except RateLimited as error:
                    if not self._park(slot.key, error):
                        raise

    async def _send(self, what: str, key: str, send: Callable[[str], Awaitable[T]]) -> T:
        """Send a request now, and note how the host fares."""
        sent_at = time.monotonic()
        try:
            answer = await send(key)
        except NeoWsError as error:
            if error.is_outage:
                self._breaker.note_failure(what, error, sent_at)
                self._breaker.refuse_if_tripped()
            else:
                self._breaker.note_answer(sent_at)
            raise
        self._breaker.note_answer(sent_at)
        return answer

    async def _back_off(self, which: str, attempt: int, error: NeoWsError) -> None:
        """Wait before another attempt, unless the breaker or the budget makes it wait anyway."""
        if error.is_outage and self._breaker.probing:
            return
        if isinstance(error, RateLimited) and self._budget:
            return
        wait_s = self._policy.wait_s(attempt)
        logger.warning("%s: %s; again in %.0f s", which, error, wait_s)
        await asyncio.sleep(wait_s)

    async def _slot(self) -> Slot:
        """Wait for the budget; returns the slot to send a request in, which is now.

        Raises:
            KeyRejected: no key is left.
        """
        while True:
            if len(self._rejected) == len(self._keys):
                raise next(reversed(self._rejected.values()))
            if self._budget is None:
                return Slot(next(key for key in self._keys if key not in self._rejected), time.time())
            slot = await self._reserve(self._budget)
            wait_s = slot.at - time.time()
            parked = set[str]()
            if wait_s > _SHORTEST_ANNOUNCED_S:
                self._announce("budget", "waiting for the request budget", slot.at)
            if wait_s > 0:
                try:
                    await asyncio.sleep(wait_s)
                    parked = await asyncio.to_thread(self._budget.parked)
                except asyncio.CancelledError:  # Ctrl-C, or the end of another request
                    self._budget.give_back(slot)
                    raise
            # Meanwhile the key may have been rejected or parked, or the machine have slept.
            if slot.key not in parked and slot.key not in self._rejected and time.time() - slot.at < _STALE_S:
                return slot
            await self._give_back(slot)

    async def _reserve(self, budget: Budget) -> Slot:
        """Take a slot in a thread, as another process may hold the ledger. A request cancelled meanwhile keeps none."""
        reserving = asyncio.create_task(asyncio.to_thread(budget.reserve, without=list(self._rejected)))
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            budget.give_back(await reserving)
            raise

    async def _give_back(self, slot: Slot) -> None:
        if self._budget:
            await asyncio.to_thread(self._budget.give_back, slot)

    def _reject(self, key: str, error: KeyRejected) -> bool:
        """Do without a key that is not accepted; returns whether another is left."""
        if key not in self._rejected:
            self._rejected[key] = error
            if left := len(self._keys) - len(self._rejected):
                others = "another key carries on" if left == 1 else f"{left} other keys carry on"
                logger.warning("%s; %s", error, others)
        return len(self._rejected) < len(self._keys)

    def _park(self, key: str, error: RateLimited) -> bool:
        """Leave a key over its limit alone for a while; returns whether another is free now."""
        if self._budget is None:
            return False
        asked_s = self._policy.key_pause_s if error.retry_after_s is None else error.retry_after_s
        until = self._budget.park(key, max(asked_s, self._policy.shortest_key_pause_s))
        self._announce(key, f"{error}; this key is left alone", until)
        return bool(set(self._keys) - set(self._rejected) - self._budget.parked())

    def _announce(self, subject: str, what: str, until: float) -> None:
        """Log a wait, once for the requests that share it."""
        if until > self._announced.get(subject, 0.0) + _ANNOUNCED_AGAIN_S:
            self._announced[subject] = until
            logger.warning("%s until %s", what, _clock_time(until))


def _clock_time(at: float) -> str:
    then = datetime.fromtimestamp(at, UTC)
    return then.strftime("%H:%M:%S UTC" if then.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S UTC")
