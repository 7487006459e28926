"""Whole answers that were given before, so that the same question costs little: which are kept, and for how long. An
answer is kept as it was sent; nothing here knows what is in it.
"""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neo_assets.api.snapshots import Snapshot, Snapshots

_MOST_BYTES = 32 << 20
_BYTES_BESIDE = 1_000
"""What an answer takes in memory beside its body and its key, about."""

_LONGEST_WAIT_S = 2.0
"""How long a request waits for the answer to one like it."""

_READING = frozenset(("GET", "HEAD"))
"""Methods with the same answer; the server leaves out the body for the second one."""

_DECISIVE = frozenset((b"accept", b"accept-encoding", b"if-none-match"))
"""The headers of a request that decide what is answered, beside `Origin`, of which only its presence does."""

_OF_A_BODY = frozenset((b"content-length", b"transfer-encoding"))

_MAY_BE_KEPT = frozenset((HTTPStatus.OK, HTTPStatus.NOT_MODIFIED))
_MARK = "answered_from"

_Key = tuple[str, bytes, tuple[tuple[bytes, bytes], ...]]


def depends_on_nothing_but(snapshot: Snapshot, request: Request) -> None:
    """Say that the answer to a request follows from the request, this snapshot and the day (UTC), so it may be kept."""
    setattr(request.state, _MARK, snapshot.tag)


@dataclass
class _Answer:
    """An answer as it is sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False
    _has_begun: bool = False

    def note(self, message: Message) -> None:
        """Take down a message of the answer. One that comes in several pieces is a stream, and never whole."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            self.is_whole = not self._has_begun and not message.get("more_body")
            self._has_begun, self.body = True, message.get("body", b"")

    async def send(self, send: Send) -> None:
        """Send it once more."""
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


class AnswerCache:
    """Gives the answers of the newest snapshot, and of today, again. Those asked for least recently make room."""

    def __init__(self, app: ASGIApp, snapshots: Snapshots, most_bytes: int = _MOST_BYTES) -> None:
        """
        Args:
            app: what answers.
            snapshots: the snapshots that it answers from.
            most_bytes: the most memory for what is kept, about.
        """
        self.app = app
        self._snapshots = snapshots
        self._most_bytes = most_bytes
        self._kept: OrderedDict[_Key, _Answer] = OrderedDict()
        self._bytes = 0
        self._being_made: dict[_Key, asyncio.Event] = {}
        self._of: tuple[str | None, date] = (None, date.min)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as it was answered before if that is known."""
        if scope["type"] != "http" or scope["method"] not in _READING or not (key := _key(scope)):
            await self.app(scope, receive, send)
            return
        known = self._find(key)
        if known:
            if await self._snapshots.look_if_it_is_time():
                known = self._find(key)
        elif first := self._being_made.get(key):
            await _at_most(_LONGEST_WAIT_S, first)
            known = self._find(key)
        if known:
            self._kept.move_to_end(key)
            await known.send(send)
        else:
            await self._make(key, scope, receive, send)

    async def _make(self, key: _Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a request answered, and keep the answer if that is allowed. Meanwhile, others like it wait."""
        state = scope.setdefault("state", {})
        _, today = self._now()
        answer, done = _Answer(), self._being_made.setdefault(key, asyncio.Event())

        async def noting(message: Message) -> None:
            answer.note(message)
            may_be_kept = _MARK in state and answer.status in _MAY_BE_KEPT
            if may_be_kept and answer.is_whole and (state[_MARK], today) == self._now():
                self._keep(key, answer)
            if not may_be_kept or answer.is_whole:
                done.set()
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            done.set()
            if self._being_made.get(key) is done:
                del self._being_made[key]

    def _now(self) -> tuple[str | None, date]:
        """What the answers that are kept are of: the newest snapshot, and today."""
        return self._snapshots.tag, datetime.now(UTC).date()

    def _find(self, key: _Key) -> _Answer | None:
        return self._kept.get(key) if self._of == self._now() else None

    def _keep(self, key: _Key, answer: _Answer) -> None:
        if self._of != (now := self._now()):
            self._kept.clear()
            self._of, self._bytes = now, 0
        if before := self._kept.pop(key, None):
            self._bytes -= _size(key, before)
        self._kept[key] = answer
        self._bytes += _size(key, answer)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(*self._kept.popitem(last=False))


async def _at_most(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _key(scope: Scope) -> _Key | None:
    """What decides the answer to a request; None if it has a body, which has to be read."""
    decisive = list[tuple[bytes, bytes]]()
    for name, value in scope["headers"]:
        if name in _DECISIVE:
            decisive.append((name, value))
        elif name == b"origin":
            decisive.append((name, b""))
        elif name in _OF_A_BODY:
            return None
    return scope["path"], scope["query_string"], tuple(decisive)


def _size(key: _Key, answer: _Answer) -> int:
    path, query, headers = key
    every = (*headers, *answer.headers)
    return (
        len(path) + len(query) + sum(len(name) + len(value) for name, value in every) + len(answer.body) + _BYTES_BESIDE
    )
