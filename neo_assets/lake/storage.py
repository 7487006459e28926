"""Bytes in and out of the lake's root, whole or not at all: one interface to local disk and S3.

How a place keeps files stands in `disk` and `bucket`. What the bytes are, and where in the lake they go, is decided
elsewhere (`raw_pages`, `tables`, `layout`).
"""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from neo_assets.lake.disk import Disk

if TYPE_CHECKING:
    from neo_assets.lake.bucket import Bucket

Item = TypeVar("Item")
Found = TypeVar("Found")

_S3 = "s3://"
_AT_ONCE = 16


class LakeError(Exception):
    """The lake cannot be read or written as asked; the message names the place and the way out. Trying again is no
    use.
    """

    retryable = False


class LakeDamaged(LakeError):
    """A file is not what was written; others are not concerned."""


class LakeLacks(LakeError):
    """A file that is needed is not there; others are not concerned."""


class LakeUnreachable(LakeError):
    """The lake does not answer now; trying again later may help."""

    retryable = True


def md5(data: bytes | pa.Buffer) -> str:
    """The digest by which a change of a file is noticed, where S3 does not give another one."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Storage:
    """The lake's root: a local directory (relative to the working directory) or `s3://bucket/prefix`."""

    def __init__(self, root: str) -> None:
        """Nothing is opened or made before the first use."""
        self.root = root.rstrip("/") if root.startswith(_S3) else str(Path(root).expanduser().absolute())
        self._remembered: dict[str, tuple[str, Any]] = {}

    @property
    def is_local(self) -> bool:
        """Whether the lake lies on local disk."""
        return not self.root.startswith(_S3)

    def location(self, path: str) -> str:
        """The full name of a path: what a person or another program opens it by."""
        return f"{self.root}/{path}"

    def read(self, path: str) -> pa.Buffer:
        """The whole content of a file.

        Raises:
            FileNotFoundError: there is none.
            LakeError: it cannot be read.
        """
        with self._plainly("read", path):
            return self._place.read(path)

    def open(self, path: str) -> pa.NativeFile:
        """A file, to be read piece by piece; on S3 it comes whole, by one request. Raises as `read` does."""
        with self._plainly("read", path):
            return self._place.open(path)

    def read_tail(self, path: str, size: int) -> bytes:
        """The last `size` bytes of a file, or all of a shorter one. Raises as `read` does."""
        with self._plainly("read", path):
            return self._place.read_tail(path, size)

    def each(self, function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """What a function that reads the lake gives for each item, in their order.

        On S3 several items are read at once, a few ahead of the caller, so that waiting times do not add up.
        """
        if self.is_local:
            yield from map(function, items)
            return
        under_way: deque[Future[Found]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            try:
                for item in items:
                    under_way.append(threads.submit(function, item))
                    if len(under_way) > _AT_ONCE:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """Put a file in place, whole or not at all; one of that name is replaced.

        Returns:
            The file's digest, by which `digests` tells later whether it still stands there.

        Raises:
            LakeError: it cannot be written; what stood there still stands.
        """
        with self._plainly("write", path):
            return self._place.write(path, data)

    def write_pieces(self, path: str, pieces: Iterable[bytes]) -> None:
        """The same as `write` of a file that comes piece by piece, and is never whole in memory but on S3."""
        with self._plainly("write", path):
            self._place.write_pieces(path, pieces)

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Put a file in place where nothing stands, whole or not at all: of several that try, one does.

        Returns:
            Whether it was this one.

        Raises:
            LakeError: it cannot be written.
        """
        with self._plainly("write", path):
            return self._place.create(path, data)

    def sweep(self) -> None:
        """Delete what killed processes left behind in the middle of a write."""
        with self._plainly("clean up", ""):
            self._place.sweep()

    def files(self, directory: str) -> list[fs.FileInfo]:
        """The files below a directory, at any depth, by path; hidden ones (being written) left out."""
        try:
            with self._plainly("list", directory):
                found = list(self._place.files(directory))
            return sorted(
                (info for info in found if not info.base_name.startswith(".")),
                key=lambda info: info.path,
            )
        except UnicodeError:
            raise LakeError(f"a file in {self.location(directory)} has a name that is not UTF-8: rename it") from None

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """A digest of those files that are there, by which a change is noticed.

        On disk the MD5 of what is read; on S3 the ETag, as one listing tells it, which is the MD5 too but for objects
        that KMS encrypts or that were written in parts.
        """
        names = sorted(paths)
        if not names:
            return {}
        with self._plainly("list", os.path.commonpath(names)):
            return self._place.digests(names)

    def remember(self, path: str, digest: str, what: Any) -> None:
        """Keep what was read from a file, or written to it, for `recall`. On disk nothing is kept: reading is cheap."""
        if not self.is_local:
            self._remembered[path] = digest, what

    def recall(self, paths: Iterable[str], standing: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What was kept of those of the files that still stand there as they were.

        Args:
            paths: the files.
            standing: what `digests` says of them, if it was asked just now; else one listing tells.
        """
        known = {path: self._remembered[path] for path in paths if path in self._remembered}
        standing = self.digests(known) if standing is None else standing
        return {path: what for path, (digest, what) in known.items() if standing.get(path) == digest}

    def info(self, path: str) -> fs.FileInfo:
        """What stands at a path, if anything: kind, size, time of its last change."""
        with self._plainly("look at", path):
            return self._place.info(path)

    def move(self, path: str, target: str) -> None:
        """Move a file to a place where nothing stands.

        Raises:
            FileNotFoundError: it is gone.
            LakeError: it cannot be moved; it still stands where it stood.
        """
        with self._plainly("move", path):
            self._place.move(path, target)

    def delete(self, path: str) -> None:
        """Delete a file. Raises as `read` does, but S3 does not say whether there was one."""
        with self._plainly("delete", path):
            self._place.delete(path)

    @cached_property
    def _place(self) -> "Disk | Bucket":
        return Disk(self.root) if self.is_local else self._bucket

    @cached_property
    def _bucket(self) -> "Bucket":
        from neo_assets.lake.bucket import Bucket  # and the AWS SDK with it, which takes a while to import

        return Bucket(self.root, _AT_ONCE)

    @contextlib.contextmanager
    def _plainly(self, verb: str, path: str) -> Iterator[None]:
        """Say in one line what could not be done, where, and what to do about it."""
        try:
            yield
        except Exception as error:
            if isinstance(error, FileNotFoundError) and verb in ("read", "move", "delete"):
                raise
            said = self._place.explain(error)
            if said is None:
                raise
            hint, may_pass = said
            kind = LakeUnreachable if may_pass else LakeError
            raise kind(f"cannot {verb} {self.location(path)}: {hint}") from error
