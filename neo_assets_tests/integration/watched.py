"""A NeoWs that fails and changes as configured, and records every request. No assertions here."""

import asyncio
import math
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets.sources.simulator.profile import Fault, PlannedDrift

NOT_A_PAGE = {"html", "empty", "truncated", "cut", "wrong-page"}
"""Faults that are answered with status 200."""


@dataclass
class Watched:
    """A NeoWs that records every request: its time, its key and the status of the answer.

    After `most_answers` answers, further requests wait until that number is raised. So a client is still running when
    the test kills it, however slow the machine.
    """

    app: Starlette
    most_answers: float = math.inf
    came: list[tuple[float, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
            await send(message)

        self.came.append((time.time(), dict(scope["headers"])[b"x-api-key"].decode()))
        number = len(self.came)
        while number > self.most_answers:
            await asyncio.sleep(0.01)
        await self.app(scope, receive, note)

    def most_within(self, hour_s: float) -> int:
        """The most requests that a key sent in any rolling hour of `hour_s` seconds."""
        times = defaultdict(list)
        for at, key in self.came:
            times[key].append(at)
        return max(n + 1 - bisect_left(ats, at - hour_s) for ats in times.values() for n, at in enumerate(ats))

    @property
    def refused(self) -> int:
        """Requests that were over the limit."""
        return self.statuses.count(429) - self.injected["rate-limit"]

    @property
    def good_answers(self) -> int:
        """Correct answers."""
        return self.statuses.count(200) - sum(self.injected[kind] for kind in NOT_A_PAGE)

    @property
    def injected(self) -> dict[str, int]:
        """Number of requests that each kind of fault affected."""
        return defaultdict(int, self.app.state.injected)


def watched(neos: int, faults: Sequence[str], drifts: Sequence[str] = (), **options: Any) -> Watched:
    return Watched(
        create_app(
            Catalogue(neos),
            faults=[Fault.parse(text) for text in faults],
            drifts=[PlannedDrift.parse(text) for text in drifts],
            **options,
        )
    )
