"""NeoWs's end of the process that fetches: starts it, calls it, notices its end. `fetcher` is the process's own end.

Why a process: `neo run` is bound by Python's interpreter lock. Fetching took a quarter of its CPU time, and no thread
could do it while another one computed. In a process of its own, it runs on another core; what is left of it here is
receiving, 0.1 ms for each page (docs/decisions/0017-fetching-in-a-process.md).
"""

import contextlib
import logging
import socket
import subprocess
import sys
import weakref
from collections.abc import Generator
from typing import Any

from neo_assets.sources.neows.errors import FetcherEnded
from neo_assets.sources.neows.messages import WANTED, Call, Host, Kind, Reply, receive, send
from neo_assets.sources.neows.progress import Progress

_ENDS_WITHIN_S = 10.0
"""How long the process may take to cancel its requests and give their slots back. After that, callers do not wait for
it any longer, and `close` kills it.
"""

_LOGGERS = ("", "neo_assets", "httpx", "httpcore")
"""Loggers whose levels here hold there too."""


class FetcherProcess:
    """A process with a `NeoWsClient`. Any thread may call it, and several at a time.

    It ends with `close`, when this object is garbage-collected, or with this process, even if that is killed.
    """

    def __init__(self, host: Host, progress: Progress) -> None:
        """Start the process, without waiting until it is ready.

        Args:
            host: whom it asks.
            progress: follows its progress.
        """
        self.requests = 0
        """Requests that it has sent, as far as it has told."""
        self._progress = progress
        self._control, theirs = socket.socketpair()
        # It finds modules where this process does. Keys go over the socket, as anyone can read a command line.
        program = f"import sys; sys.path[:] = {sys.path!r}; from neo_assets.sources.neows.fetcher import main; main()"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for this process, which then cancels what it has called
            )
        self.close = weakref.finalize(self, _end, self._process, self._control)
        """End the process, and wait for its end. Calls are cancelled."""
        with contextlib.suppress(OSError):  # it has ended; a call reports that
            send(self._control, host)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def call(self, method: str, *arguments: object, ahead: int = 0) -> Generator[Any, None, None]:
        """Call a method of `NeoWsClient`, and yield what it returns, or each thing that it yields.

        It begins at once, but goes on only when the next thing is asked for. If this is closed or interrupted, the call
        is cancelled; the exception propagates once that is done, or has taken too long.

        Args:
            method: name of the method.
            arguments: its arguments.
            ahead: how many things it may yield before they are asked for; they wait in the process's memory.

        Raises:
            FetcherEnded: the process has ended.
            Exception: what the method raised.
        """
        levels = {name: logging.getLogger(name).getEffectiveLevel() for name in _LOGGERS}
        answers = self._answers(Call(method, arguments, levels), 1 + ahead)
        next(answers)  # has sent the call
        return answers

    def _answers(self, call: Call, wanted: int) -> Generator[Any, None, None]:
        """Send a call and yield None, then yield the answers. So many of them are made without being asked for."""
        ours, theirs = socket.socketpair()
        with ours, self._progress.elsewhere() as progress_was:
            over = False
            try:
                with contextlib.suppress(OSError), theirs:  # if the process has ended, `receive` notices
                    socket.send_fds(self._control, [WANTED], [theirs.fileno()])
                    send(ours, call)
                    ours.sendall(wanted * WANTED)
                yield None
                while not over:
                    reply: Reply = receive(ours)
                    progress_was(reply.progress_at)
                    self.requests = max(self.requests, reply.requests)
                    match reply.kind:
                        case Kind.ANSWER:
                            yield reply.value
                            with contextlib.suppress(OSError):
                                ours.sendall(WANTED)
                        case Kind.RECORD:
                            _log(reply.value)
                        case Kind.ERROR:
                            over = True
                            raise reply.value
                        case Kind.END:
                            over = True
            except EOFError:
                over = True
                raise FetcherEnded(f"the process that fetches pages {self._how_it_ended()}") from None
            finally:
                if not over:
                    _hang_up(ours)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "has hung up"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _log(record: logging.LogRecord) -> None:
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _hang_up(sock: socket.socket) -> None:
    """Have the call cancelled, and wait until it is, unless the process does not answer."""
    sock.settimeout(_ENDS_WITHIN_S)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 20):
            pass


def _end(process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
    control.close()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
