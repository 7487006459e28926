"""The gate that every request to NeoWs passes: it decides when a request is sent, with which key, and how often.

Only the gate waits: for the budget, for a host in an outage, and before retries. `client` sends the requests and
interprets the responses.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.budget import Budget, Slot
from neo_assets.sources.neows.errors import KeyRejected, NeoWsError, RateLimited
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.neows.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SHORTEST_ANNOUNCED_S = 5.0
"""Shorter waits for the budget are not logged."""

_ANNOUNCED_AGAIN_S = 60.0
"""A further wait is logged only if its end differs by more than this from that of the last one logged."""

_STALE_S = 5.0
"""A slot missed by more than this, for instance because the machine slept, is no longer covered by the budget."""


class Gate:
    """The keys for one host, their budget, and the host's breaker. Belongs to one event loop."""

    def __init__(
        self, keys: Iterable[str], budget: Budget | None, policy: RetryPolicy, progress: Progress | None = None
    ) -> None:
        """
        Args:
            keys: the API keys, at least one.
            budget: paces the requests and picks the key; None sends at once, with the first key not rejected.
            policy: the retry policy.
            progress: where waits are noted.
        """
        self._keys = tuple(dict.fromkeys(keys))
        self._budget = budget
        self._policy = policy
        self._progress = progress or Progress()
        self._breaker = Breaker(policy)
        self._probe = asyncio.Lock()
        self._rejected: dict[str, KeyRejected] = {}
        self._announced: dict[str, float] = {}

    def reopen(self) -> None:
        """Allow requests again after an outage, as a new call is a reason to check whether it is over."""
        if self._breaker.tripped:
            self._breaker.reopen()

    def start_again(self) -> None:
        """Judge the host anew, as pages that failed are asked for again."""
        self._breaker.reopen()

    async def ask(self, what: str, send: Callable[[str], Awaitable[T]], attempts: int = 1) -> T:
        """Send a request as soon as allowed, and retry it if that may help.

        Args:
            what: the page or resource requested, for messages.
            send: sends the request with the given key, and returns the result.
            attempts: maximum number of attempts. Switching to another key is not an attempt.

        Raises:
            NeoWsError: the last attempt failed, or a retry would not help.
            BudgetError: the budget's ledger cannot be used.
        """
        for attempt in itertools.count(1):
            try:
                return await self._ask_once(what, send)
            except NeoWsError as error:
                if attempt == attempts or not error.retryable or self._breaker.tripped:
                    raise
                await self._back_off(f"{what}, attempt {attempt} of {attempts}", attempt, error)
        raise AssertionError  # unreachable: the loop is endless

    def learn_limit(self, key: str, allowed: int | None, window_s: float | None) -> None:
        """Adopt the limit that the host states for a key; takes the arguments of `Budget.learn_limit`."""
        if self._budget:
            self._budget.learn_limit(key, allowed, window_s)

    def pause(self, key: str, window_s: float | None) -> None:
        """Park a key for a while, at most for the window of its limit; other keys continue."""
        if self._budget:
            self._budget.park(key, min(self._policy.key_pause_s, window_s or self._policy.key_pause_s))

    async def _ask_once(self, what: str, send: Callable[[str], Awaitable[T]]) -> T:
        """Make one attempt, trying keys until one is accepted."""
        while True:
            probing = self._breaker.probing
            async with self._probe if probing else contextlib.nullcontext():
                if probing and not self._breaker.probing:  # the host recovered while this request was queued
                    continue
                self._breaker.refuse_if_tripped()
                await self._wait(self._breaker.silence_s)
                slot = await self._slot()  # taken after the silence, as it would go stale during it
                # The host may have failed while this request waited.
                if self._breaker.tripped or (self._breaker.probing and not probing):
                    self._give_back(slot)
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
        """Send a request now, and report the outcome to the breaker."""
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

    async def _back_off(self, label: str, attempt: int, error: NeoWsError) -> None:
        """Wait before a retry, unless the breaker or the budget will delay it anyway."""
        if error.is_outage and self._breaker.probing:
            return
        if isinstance(error, RateLimited) and self._budget:
            return
        wait_s = self._policy.wait_s(attempt)
        logger.warning("%s: %s; next attempt in %.0f s", label, error, wait_s)
        await self._wait(wait_s)

    async def _wait(self, wait_s: float) -> None:
        """Wait for a time that is known, which counts as progress."""
        with self._progress.waiting(wait_s):
            await asyncio.sleep(wait_s)

    async def _slot(self) -> Slot:
        """Wait for the budget. The slot returned is for now.

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
                    await self._wait(wait_s)
                    parked = await asyncio.to_thread(self._budget.parked)
                except asyncio.CancelledError:  # by Ctrl-C, or by the error of another request
                    self._give_back(slot)
                    raise
            # During the wait the key may have been rejected or parked, or the machine may have slept.
            if slot.key not in parked and slot.key not in self._rejected and time.time() - slot.at < _STALE_S:
                return slot
            self._give_back(slot)

    async def _reserve(self, budget: Budget) -> Slot:
        """Reserve a slot in a thread, as another process may lock the ledger. If cancelled, give the slot back."""

        def return_slot(reserved: asyncio.Future[Slot]) -> None:
            if not reserved.exception():
                budget.give_back(reserved.result())

        reserve = functools.partial(budget.reserve, without=list(self._rejected))
        reserving = asyncio.get_running_loop().run_in_executor(None, reserve)
        try:
            return await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(return_slot)  # even if this is cancelled once more
            await asyncio.wait([reserving])
            raise

    def _give_back(self, slot: Slot) -> None:
        """Return a slot at once: while waiting for a thread, this could be cancelled."""
        if self._budget:
            self._budget.give_back(slot)

    def _reject(self, key: str, error: KeyRejected) -> bool:
        """Stop using a key that was not accepted. Returns whether another key is left."""
        if key not in self._rejected:
            self._rejected[key] = error
            if self._budget:
                self._budget.refuse(key)
            if left := len(self._keys) - len(self._rejected):
                others = "continuing with the other key" if left == 1 else f"continuing with {left} other keys"
                logger.warning("%s; %s", error, others)
        return len(self._rejected) < len(self._keys)

    def _park(self, key: str, error: RateLimited) -> bool:
        """Park a key that is over its limit. Returns whether another key is free now."""
        if self._budget is None:
            return False
        pause_s = self._policy.key_pause_s if error.retry_after_s is None else error.retry_after_s
        until = self._budget.park(key, max(pause_s, self._policy.shortest_key_pause_s))
        self._announce(key, f"{error}; this key is not used", until)
        return bool(set(self._keys) - set(self._rejected) - self._budget.parked())

    def _announce(self, subject: str, what: str, until: float) -> None:
        """Log a wait, once for all requests that share it."""
        if abs(until - self._announced.get(subject, 0.0)) > _ANNOUNCED_AGAIN_S:
            self._announced[subject] = until
            logger.warning("%s until %s", what, _clock_time(until))


def _clock_time(at: float) -> str:
    then = datetime.fromtimestamp(at, UTC)
    return then.strftime("%H:%M:%S UTC" if then.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S UTC")
