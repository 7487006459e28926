"""What `NeoWs` and the process that fetches for it tell each other, and how it looks on a socket.

`fetcher_process` is NeoWs's end, `fetcher` the other one.
"""

import enum
import pickle
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from neo_assets.schema.pages import Page
from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.retry_policy import RetryPolicy

if TYPE_CHECKING:
    from asyncio import StreamReader  # NeoWs itself does without an event loop

_SIZES = struct.Struct("=II")
"""What a message begins with: the sizes of its pickled part, and of the page's body that follows."""

WANTED = b"+"
"""Asks for one more answer."""


@dataclass(frozen=True)
class Host:
    """Whom to ask, with which keys, how quickly, and how persistently: the first message to a new process."""

    base_url: str
    keys: tuple[str, ...] = field(repr=False)
    ledger: Path | None
    """The budget's ledger; None stands for the embedded simulator, which needs neither budget nor key."""
    name: str
    """The host's name and port in the ledger."""
    per_hour: int
    per_second: float
    policy: RetryPolicy

    def budget(self) -> Budget | None:
        """The budget of the keys; None for the embedded simulator."""
        return Budget(self.ledger, self.name, self.keys, self.per_hour, self.per_second) if self.ledger else None


class Call(NamedTuple):
    """Calls a method of `NeoWsClient`. One call has a socket of its own, and is cancelled if the caller hangs up."""

    method: str
    arguments: tuple[object, ...]
    levels: Mapping[str, int]
    """The names of loggers, and the level from which on the caller wants their records."""


class Kind(enum.Enum):
    """What a reply is."""

    NOTE = enum.auto()
    RECORD = enum.auto()
    ANSWER = enum.auto()
    ERROR = enum.auto()
    END = enum.auto()


class Reply(NamedTuple):
    """What the process says in a call: a log record, an answer, the error or the end, or nothing but what is true of
    the whole process.
    """

    kind: Kind
    value: Any
    progress_at: float
    """`Progress.at` (`time.monotonic`, which all processes of a machine share)."""
    requests: int
    """Requests sent so far."""


def packed(message: Host | Call | Reply) -> Iterator[bytes]:
    """A message as it goes over a socket, in parts."""
    body = b""
    if isinstance(message, Reply) and isinstance(message.value, Page):
        # Bodies have 360 kB; in the pickle, each would be copied twice, which takes the receiver 0.3 ms.
        body = message.value.body
        message = message._replace(value=replace(message.value, body=b""))
    pickled = pickle.dumps(message)
    yield _SIZES.pack(len(pickled), len(body)) + pickled
    yield body


def send(sock: socket.socket, message: Host | Call) -> None:
    """Send a message. Raises OSError if the other end is closed."""
    sock.sendall(b"".join(packed(message)))


def receive(sock: socket.socket) -> Any:
    """Wait for a message.

    Raises:
        EOFError: the other end is closed.
    """
    size, body_size = _SIZES.unpack(_read(sock, _SIZES.size))
    message = pickle.loads(_read(sock, size))
    return message._replace(value=replace(message.value, body=_read(sock, body_size))) if body_size else message


async def receive_call(reader: "StreamReader") -> Call:
    """Wait for a call, without keeping others waiting: its caller may be slow to send it.

    Raises:
        EOFError: the other end is closed.
    """
    try:
        size, _ = _SIZES.unpack(await reader.readexactly(_SIZES.size))
        call: Call = pickle.loads(await reader.readexactly(size))
    except ConnectionResetError:
        raise EOFError from None
    return call


def _read(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        try:
            part = sock.recv(size, socket.MSG_WAITALL)  # a signal may end it early
        except ConnectionResetError:
            raise EOFError from None
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
