"""The state of the pipeline without polling: whoever listens gets it at once, and again whenever something has changed,
over a WebSocket or as server-sent events. What the state is, is decided in `state`.

One task in each process reads the state, and only while somebody listens. Every listener has a place for the newest
update only, so one that reads slowly skips updates, and holds nobody up.
"""

import asyncio
import contextlib
import contextvars
import logging
import signal
import threading
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from types import FrameType
from typing import Any, NamedTuple

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from neo_assets.api.errors import PROBLEM
from neo_assets.api.middleware import IS_HEAD
from neo_assets.api.problems import Problem
from neo_assets.api.state import State, StateReader

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0

_PING_EVERY_S = 15.0
"""How often a listener is told that the connection stands. Servers ping WebSockets themselves."""

_LONGEST_SEND_S = 20.0
"""A listener that takes nothing for so long is given up."""

_GOODBYE_S = 1.0

_MOST_LISTENERS = 500
"""More than these at a time, of one process, are refused."""

_COME_BACK_MS = 5_000
"""When the connection is lost, browsers connect again after this time."""

_GOING_AWAY, _TRY_AGAIN_LATER = 1001, 1013  # https://www.iana.org/assignments/websocket


class Update(BaseModel):
    """The state of the pipeline, as it is sent."""

    sequence: int = Field(description="Counts the changes that this process of the API has seen.")
    at: datetime = Field(description="When the change was seen (UTC).")
    state: State


class _Sent(NamedTuple):
    """An update in its two forms, made once for all listeners."""

    text: str
    event: bytes


_Place = asyncio.Queue[_Sent]


class Listeners:
    """All who listen in this process, and the task that reads the state for them."""

    def __init__(self, reader: StateReader) -> None:
        """
        Args:
            reader: reads the state.
        """
        self._reader = reader
        self._places: set[_Place] = set()
        self._following: asyncio.Task[None] | None = None
        self._state: State | None = None
        self._last: _Sent | None = None
        self._number = 0
        self.ended = asyncio.Event()
        """Set when the server stops. Listeners then leave, as servers wait for their clients."""

    @contextlib.contextmanager
    def joined(self) -> Iterator[_Place]:
        """A place that holds the newest update until the listener takes it. It exists for the time of the block.

        Raises:
            Problem: there are too many listeners, or the server stops.
        """
        if len(self._places) >= _MOST_LISTENERS or self.ended.is_set():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many listen: try again.", headers={"Retry-After": "30"})
        place = _Place(1)
        if self._last:
            place.put_nowait(self._last)
        self._places.add(place)
        if not self._following:  # in a context of its own: what it logs belongs to no request
            self._following = asyncio.create_task(self._follow(), context=contextvars.Context())
        try:
            yield place
        finally:
            self._places.remove(place)
            if not self._places:
                self._following.cancel()
                self._following = self._state = self._last = None

    async def _follow(self) -> None:
        """Read the state again and again, and hand out what has changed."""
        while True:
            try:
                state = await asyncio.to_thread(self._reader.read)
                if state != self._state:
                    self._hand_out(state)
            except Exception:
                logger.exception("the state of the pipeline cannot be read")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _hand_out(self, state: State) -> None:
        self._number += 1
        text = Update(sequence=self._number, at=datetime.now(UTC), state=state).model_dump_json()
        event = format_sse_event(data_str=text, event="state", id=str(self._number))
        self._state, self._last = state, _Sent(text, event)
        for place in self._places:
            if place.full():
                place.get_nowait()
            place.put_nowait(self._last)

    @contextlib.contextmanager
    def leaving_when_asked_to_stop(self) -> Iterator[None]:
        """Have listeners leave as soon as a signal asks the process to stop, before the server waits for them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def leave(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.ended.set)
            handler = handlers[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        for number, handler in handlers.items():
            if callable(handler):  # the server's; without one, the process ends at once
                signal.signal(number, leave)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                if signal.getsignal(number) is leave:
                    signal.signal(number, handler)


class _EventStream(Response):
    """Updates as server-sent events."""

    media_type = "text/event-stream"

    def __init__(self, listeners: Listeners) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})  # the latter is nginx's
        del self.headers["Content-Length"]
        self._listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""

        async def say(body: bytes, more: bool = True, longest_s: float = _LONGEST_SEND_S) -> None:
            message: Message = {"type": "http.response.body", "body": body, "more_body": more}
            async with asyncio.timeout(longest_s):
                await send(message)

        async def tell() -> None:
            await say(format_sse_event(retry=_COME_BACK_MS))
            while True:
                try:
                    async with asyncio.timeout(_PING_EVERY_S):
                        update = await place.get()
                except TimeoutError:
                    await say(KEEPALIVE_COMMENT)
                else:
                    await say(update.event)

        async def leave() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        with self._listeners.joined() as place:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if not scope.get(IS_HEAD):
                await _until_one_ends(tell(), leave(), self._listeners.ended.wait())
            with contextlib.suppress(TimeoutError):
                await say(b"", more=False, longest_s=_GOODBYE_S)


def status(listeners: Listeners) -> APIRouter:
    """The paths that send the state."""
    router = APIRouter()

    @router.get(
        "/events",
        tags=["status"],
        status_code=HTTPStatus.OK,
        response_class=_EventStream,
        responses={
            200: {"model": Update, "description": "An event `state` for each change; `data` is one line of JSON."},
            503: PROBLEM | {"description": "Too many listen."},
        },
    )
    async def events() -> Response:
        """The state of the pipeline at once, and again whenever it has changed, as server-sent events.

        An event holds the whole state, so none has to be sent again. A client that reads slowly gets the newest state
        only. The WebSocket `/ws/status` sends the same.
        """
        return _EventStream(listeners)

    @router.websocket("/ws/status")
    async def ws_status(socket: WebSocket) -> None:
        async def tell(place: _Place) -> None:
            while True:
                update = await place.get()
                async with asyncio.timeout(_LONGEST_SEND_S):
                    await socket.send_text(update.text)

        async def leave() -> None:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass

        await socket.accept()
        code, reason = _GOING_AWAY, "The server stops, or this client takes nothing."
        try:
            with listeners.joined() as place:
                await _until_one_ends(tell(place), leave(), listeners.ended.wait())
        except Problem as problem:
            code, reason = _TRY_AGAIN_LATER, str(problem)
        with contextlib.suppress(*_GONE, RuntimeError):  # it may have left
            async with asyncio.timeout(_GOODBYE_S):
                await socket.close(code, reason)

    return router


_GONE = (TimeoutError, OSError, WebSocketDisconnect)
"""What sending to a client raises that has left, or takes nothing."""


async def _until_one_ends(*works: Coroutine[Any, Any, object]) -> None:
    """Do several things at once until one of them ends; then cancel the others. A client that has gone is no error.

    They must not use `asyncio.wait_for`, which may lose a cancellation in Python 3.11.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, _GONE):
            raise result
