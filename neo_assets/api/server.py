"""The server of the API: uvicorn, with what it lacks against clients that are slow or send too much. The limits of
parameters are in `parameters`, those of bodies in `middleware`.
"""

import asyncio
import sys
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from neo_assets.api.errors import problem_response
from neo_assets.api.problems import Problem

_MOST_CONNECTIONS = 2_000
"""More than these at a time, of one worker, get a 503."""
_OTHER_FILES = 100
"""How many files a worker needs beside its connections: the database, the lake's files, libraries."""

_LONGEST_URL = 8_192
_LONGEST_HEAD = 32_768
"""Most bytes of the URL and all headers of a request."""

_PATIENCE_S = 10.0
"""How long a client may take for the head of a request, and for its body unless that keeps coming."""
_GRACE_S = 0.1
_LINGER_S = 2.0
"""How long the rest of a body is read that nobody wants, so that the client reads the answer first."""
_STALLED_S = 30.0
"""A client that takes nothing of its answer for so long is cut off."""
_LEAST_BYTES_S = 1_000
"""Bytes per second that a body has to bring, and that an answer has to lose."""


def connections() -> int:
    """How many connections a worker takes.

    Each is an open file, so the limit of open files is raised first, as far as allowed.
    """
    if sys.platform == "win32":
        return _MOST_CONNECTIONS
    import resource

    wanted = 2 * _MOST_CONNECTIONS + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, (soft - _OTHER_FILES) * 3 // 4))


class Protocol(HttpToolsProtocol):
    """A connection, which has its limits of time and size.

    A request that comes whole costs no timer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._in_head = self._in_body = self._is_over = False
        self._refused = HTTPStatus.BAD_REQUEST
        self._began = 0.0
        self._read = 0
        """Bytes of the head, or of the body, so far."""

    def connection_made(  # type: ignore[override]  # as uvicorn itself does: a server has no other transports
        self, transport: asyncio.Transport
    ) -> None:
        """Take a connection; those that would leave no file for answers are closed."""
        super().connection_made(transport)
        if self.limit_concurrency and len(self.connections) > self.limit_concurrency * 4 // 3:
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._stop_waiting()
        if self._watch:
            self._watch.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._unset_keepalive_if_required()
        if self._is_over:
            return
        self._read += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stop_waiting()
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            return
        except httptools.HttpParserError:
            self._refuse(self._refused)
            return
        if self._in_head and self._read > _LONGEST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._is_answering() and not (self._in_head or self._in_body):
            self._stop_waiting()
        elif not self._deadline:
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._in_body = True, False
        self._refused = HTTPStatus.BAD_REQUEST

    def on_url(self, url: bytes) -> None:
        """The URL of a request, or a part of it."""
        super().on_url(url)
        if len(self.url) > _LONGEST_URL:
            self._refused = HTTPStatus.REQUEST_URI_TOO_LONG
            raise ValueError("the URL is too long")

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        if sum(len(name) + len(value) for name, value in self.headers) > _LONGEST_HEAD:
            self._refused = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError("the headers are too long")
        self._in_head, self._in_body = False, True
        self._stop_waiting()
        self._read = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_body = False
        self._read = 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written, which the client may not have read yet."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_writing()
        elif self._in_body:
            self._stop_waiting()
            self._deadline = self.loop.call_later(_LINGER_S, self._close)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came after an answer."""
        super().timeout_keep_alive_handler()
        self._watch_writing()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has read most of what there was."""
        super().resume_writing()
        if self._watch and not self.transport.is_closing():
            self._watch.cancel()
            self._watch = None

    def _wait(self) -> None:
        self._began = self.loop.time()
        self._deadline = self.loop.call_later(_PATIENCE_S, self._waited)

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _waited(self) -> None:
        """The time for the head or the body is over. What came while this process was busy is read first."""
        self._deadline = self.loop.call_later(_GRACE_S, self._judge)

    def _judge(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._is_answering() and (self._in_head or self.flow.read_paused):
            self._wait()  # this is not the client's fault
        elif self._in_body and (more := _PATIENCE_S + self._read / _LEAST_BYTES_S - self.loop.time() + self._began) > 0:
            self._deadline = self.loop.call_later(max(more, 1.0), self._waited)
        elif self._in_head or self._in_body:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._close()  # browsers open connections ahead, and expect no answer there

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus) -> None:
        """End the connection, with this answer if no other one has begun."""
        self._stop_waiting()
        if self.pipeline or (self._is_answering() and (self._in_head or self.cycle.response_started)):
            self.pipeline.clear()
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        answer = problem_response(Problem(status, _SAID[status], headers={"Connection": "close"}))
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [name + b": " + value for name, value in (*self.server_state.default_headers, *answer.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.write_eof()
        self._is_over = True
        self._deadline = self.loop.call_later(_LINGER_S, self._close)

    def _close(self) -> None:
        self.transport.close()
        self._watch_writing()

    def _watch_writing(self) -> None:
        """Cut the client off unless it takes its answer."""
        if not self._watch:
            self._watch = self.loop.call_later(_STALLED_S, self._watched, self.transport.get_write_buffer_size())

    def _watched(self, before: int) -> None:
        self._watch = None
        left = self.transport.get_write_buffer_size()
        if left and before - left < _STALLED_S * _LEAST_BYTES_S:
            self.transport.abort()
        elif left:
            self._watch_writing()


_SAID = {
    HTTPStatus.BAD_REQUEST: "This is not a request of HTTP/1.1.",
    HTTPStatus.REQUEST_TIMEOUT: f"The request did not come within {_PATIENCE_S:g} s.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The URL is longer than {_LONGEST_URL:,} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"The headers are longer than {_LONGEST_HEAD:,} bytes.",
}
