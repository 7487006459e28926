"""Leases, which keep processes from doing the same thing at once in one lake. What that is, the caller decides.

Each lease is a file with a number, and only the last one counts. Taking the next number is atomic, as it creates a
file. The last file is never deleted, so a process that takes a number from before it finds a later one, and gives up.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage


class Busy(Exception):
    """Another process has the lease."""


@dataclass(frozen=True)
class _Lease:
    """What the file of a lease holds."""

    until: Annotated[datetime, msgspec.Meta(tz=True)]
    """When it ends if the process that has it is killed, by the clock of that process."""


@contextlib.contextmanager
def leased(lake: Storage, directory: str, lasts: timedelta) -> Iterator[Callable[[], None]]:
    """Keep other processes out. Yields a function that renews the lease, and raises `Busy` if it was lost.

    Args:
        lake: the lake.
        directory: where the leases for this purpose are.
        lasts: how long a lease lasts if it is not renewed. A process that is suspended for longer loses it.

    Raises:
        Busy: another process has it.
        LakeError: the lake cannot be used.
    """
    earlier = _leases(lake, directory)
    if earlier and _ends(lake, earlier[-1]) > datetime.now(UTC):
        raise Busy
    mine = layout.lease(directory, layout.number_of_lease(earlier[-1]) + 1 if earlier else 1)

    def lease(until: datetime) -> bytes:
        return msgspec.json.encode(_Lease(until))

    def check() -> None:
        if _leases(lake, directory)[-1:] != [mine]:
            raise Busy

    def renew() -> None:
        check()
        lake.write(mine, lease(datetime.now(UTC) + lasts))

    if not lake.create(mine, lease(datetime.now(UTC) + lasts)):
        raise Busy
    try:
        check()  # others may have had later numbers, and deleted this one, since the first look
        for path in earlier:
            with contextlib.suppress(FileNotFoundError):
                lake.delete(path)
        yield renew
    finally:
        lake.write(mine, lease(datetime.now(UTC)))


@contextlib.contextmanager
def leased_in_turn(lake: Storage, directory: str, lasts: timedelta) -> Iterator[None]:
    """Like `leased`, but wait while others have it: for what is over in much less than `lasts`.

    Raises:
        Busy: others had it for three times as long as it lasts.
        LakeError: the lake cannot be used.
    """
    patience = time.monotonic() + 3 * lasts.total_seconds()
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(leased(lake, directory, lasts))
                break
            except Busy:
                if time.monotonic() > patience:
                    raise
                time.sleep(random.uniform(0.02, 0.1))  # not in step with others
        yield


def _leases(lake: Storage, directory: str) -> list[str]:
    """The paths of the leases, in the order of their numbers."""
    return [info.path for info in lake.files(directory)]


def _ends(lake: Storage, path: str) -> datetime:
    """When a lease ends; a damaged one has ended."""
    try:
        return msgspec.json.decode(lake.read(path), type=_Lease).until
    except (FileNotFoundError, msgspec.MsgspecError):
        return datetime.min.replace(tzinfo=UTC)
