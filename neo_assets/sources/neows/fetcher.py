"""The process that fetches: it runs `NeoWsClient`, and answers the calls of the `NeoWs` that started it.

It ends once NeoWs closes the socket on standard input, as the system does too if that process is killed.
`fetcher_process` is the other end, and says why there is a process.
"""

import asyncio
import contextlib
import contextvars
import functools
import logging
import os
import pickle
import signal
import socket
import traceback
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import httpx

from neo_assets.sources.neows.budget import BudgetError
from neo_assets.sources.neows.client import NeoWsClient
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing
from neo_assets.sources.neows.messages import Call, Host, Kind, Reply, packed, receive, receive_call
from neo_assets.sources.neows.progress import Progress

_EXACT_S = 0.1
"""How exactly NeoWs knows the time of the last progress."""

_SIMULATOR_KEY = "embedded-simulator"


def main() -> None:
    """Entry point of the process."""
    for number in (signal.SIGINT, signal.SIGTERM):  # NeoWs's own process decides what these end
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=0) as control, contextlib.suppress(EOFError):
        asyncio.run(_Fetcher(receive(control), control).serve())


class _Caller:
    """The other end of one call."""

    def __init__(self, writer: asyncio.StreamWriter, fetcher: "_Fetcher") -> None:
        self._writer, self._fetcher = writer, fetcher
        self.told_progress_at = 0.0

    def tell(self, kind: Kind, value: Any = None) -> None:
        """Send a reply, unless the caller has hung up."""
        if not self._writer.is_closing():
            self.told_progress_at = at = self._fetcher.progress.at
            for part in packed(Reply(kind, value, at, self._fetcher.requests)):
                self._writer.write(part)

    async def answer(self, answers: AsyncGenerator[Any, None], wanted: asyncio.Semaphore) -> None:
        """Send each answer when it is wanted, and then the end, or the error. So no more wait here than are wanted."""
        try:
            async with contextlib.aclosing(answers):
                while await wanted.acquire() and (answer := await anext(answers, None)) is not None:
                    self.tell(Kind.ANSWER, answer)
            self.tell(Kind.END)
        except Exception as error:
            self.tell(Kind.ERROR, _tellable(error))


def _tellable(error: Exception) -> Exception:
    """The error, or another one in its words if no other process could read it.

    An unexpected one says where it was raised.
    """
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, NeoWsError | PagesMissing | BudgetError):
        error.add_note(trace)
    return error


_caller = contextvars.ContextVar[_Caller]("caller")
"""Whom the current task works for."""


class _Fetcher:
    """Serves calls, several at a time, with one client."""

    def __init__(self, host: Host, control: socket.socket) -> None:
        self._host, self._control = host, control
        self._budget = host.budget()
        self.progress = Progress(self._note_progress)
        self._calls = set[asyncio.Task[None]]()
        self._over = asyncio.Event()
        logging.getLogger().addHandler(_Records())

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self._client.requests if "_client" in vars(self) else 0

    async def serve(self) -> None:
        """Answer calls until NeoWs closes `control`. The process ends then."""
        asyncio.get_running_loop().add_reader(self._control, self._accept)
        await self._over.wait()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if "_client" in vars(self):
            await self._client.__aexit__(None, None, None)
        if self._budget:
            self._budget.close()
        os._exit(0)  # at once, even if a thread still waits for the resolver

    def _accept(self) -> None:
        """Begin a call: NeoWs has sent a socket for it, or has ended."""
        try:
            _, sockets, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            sockets = []
        if not sockets:
            asyncio.get_running_loop().remove_reader(self._control)
            self._over.set()
            return
        call = asyncio.create_task(self._serve(socket.socket(fileno=sockets[0])))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _serve(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        try:
            call = await receive_call(reader)
        except EOFError:
            writer.close()
            return
        for name, level in call.levels.items():
            logging.getLogger(name).setLevel(level)
        wanted = asyncio.Semaphore(0)
        caller = _Caller(writer, self)
        _caller.set(caller)
        answering = asyncio.create_task(caller.answer(self._answers(call), wanted))
        answering.add_done_callback(lambda _: writer.close())  # else NeoWs would wait for ever if it failed to tell
        try:
            with contextlib.suppress(ConnectionError):  # NeoWs's process was killed
                while more := await reader.read(100):
                    for _ in more:
                        wanted.release()
        finally:
            answering.cancel()
            await asyncio.wait([answering])

    async def _answers(self, call: Call) -> AsyncGenerator[Any, None]:
        """What the method yields, or returns."""
        answers: AsyncGenerator[Any, None] | Awaitable[Any] = getattr(self._client, call.method)(*call.arguments)
        if isinstance(answers, AsyncGenerator):
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    yield answer
        else:
            yield await answers

    @functools.cached_property
    def _client(self) -> NeoWsClient:
        """Made by the first call, which reports the error if that fails."""
        host = self._host
        if host.ledger:
            return NeoWsClient(host.base_url, host.keys, self._budget, policy=host.policy, progress=self.progress)

        from neo_assets.sources.simulator.app import create_app  # only the simulator needs these
        from neo_assets.sources.simulator.catalogue import Catalogue

        transport = httpx.ASGITransport(create_app(Catalogue()))
        return NeoWsClient(
            host.base_url, [_SIMULATOR_KEY], None, transport=transport, policy=host.policy, progress=self.progress
        )

    def _note_progress(self) -> None:
        caller = _caller.get(None)
        if caller and abs(self.progress.at - caller.told_progress_at) > _EXACT_S:
            caller.tell(Kind.NOTE)


class _Records(logging.Handler):
    """Sends log records to whom the current task works for."""

    def emit(self, record: logging.LogRecord) -> None:
        caller = _caller.get(None)
        if caller is None:
            if logging.lastResort:
                logging.lastResort.handle(record)
            return
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.msg, record.args, record.exc_info = record.getMessage(), None, None  # what can be pickled
        caller.tell(Kind.RECORD, record)
