"""One interface to a lake on local disk or S3: files are read, written atomically, listed and moved.

`disk` and `s3` implement it. `layout` decides on paths; `raw_pages` and `tables` decide on content.
"""

import contextlib
import hashlib
import os
import sys
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
    from neo_assets.lake.s3 import Bucket

Item = TypeVar("Item")
Found = TypeVar("Found")

_S3 = "s3://"
_THREADS = 16


class LakeError(Exception):
    """A read or write in the lake failed; the message says where, and what to do. A retry does not help."""

    retryable = False


class LakeDamaged(LakeError):
    """One file is damaged; other files are not affected."""


class LakeLacks(LakeError):
    """One required file is missing; other files are not affected."""


class LakeWrong(LakeError):
    """Tables of one page set contradict each other or their pages, so nothing is made from them."""


class LakeUnreachable(LakeError):
    """The lake does not answer now; a later retry may help."""

    retryable = True


def md5(data: bytes | pa.Buffer) -> str:
    """The digest that detects changes of a file, unless S3 has a different ETag for it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Storage:
    """The lake's root: a local directory (relative to the working directory) or `s3://bucket/prefix`."""

    def __init__(self, root: str) -> None:
        """Opens and creates nothing before the first use."""
        self.root = root.rstrip("/") if root.startswith(_S3) else str(Path(root).expanduser().absolute())
        self._remembered: dict[str, tuple[str, Any]] = {}

    @property
    def is_local(self) -> bool:
        """Whether the lake is on local disk."""
        return not self.root.startswith(_S3)

    def location(self, path: str) -> str:
        """The full path or S3 URL, for people and other programs."""
        return f"{self.root}/{path}"

    def read(self, path: str) -> pa.Buffer:
        """Read a whole file.

        Raises:
            FileNotFoundError: the file does not exist.
            LakeError: it cannot be read.
        """
        with self._explained("read", path):
            return self._backend.read(path)

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading piece by piece; on S3 one request reads it whole. Raises like `read`."""
        with self._explained("read", path):
            return self._backend.open(path)

    def read_tail(self, path: str, size: int) -> bytes:
        """Read the last `size` bytes of a file, or all of a shorter one. Raises like `read`."""
        with self._explained("read", path):
            return self._backend.read_tail(path, size)

    def each(self, function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """Apply a function that reads or writes the lake to each item; yield the results in order.

        On S3, threads process several items in parallel, a few ahead of the caller, to hide latency.
        """
        if self.is_local:
            yield from map(function, items)
            return
        pending: deque[Future[Found]] = deque()
        with ThreadPoolExecutor(_THREADS) as threads:
            try:
                for item in items:
                    pending.append(threads.submit(function, item))
                    if len(pending) > _THREADS:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """Write a file atomically, replacing an older one.

        Returns:
            The file's digest, as `digests` returns it while the file is unchanged.

        Raises:
            LakeError: it cannot be written; an older file is left as it was.
        """
        with self._explained("write", path):
            return self._backend.write(path, data)

    def write_pieces(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a file like `write`, from pieces. Only on S3 is it held in memory whole."""
        with self._explained("write", path):
            self._backend.write_pieces(path, pieces)

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Write a file atomically unless one exists: of several concurrent writers, one succeeds.

        Returns:
            Whether this call wrote it.

        Raises:
            LakeError: it cannot be written.
        """
        with self._explained("write", path):
            return self._backend.create(path, data)

    def sweep(self) -> None:
        """Delete temporary files of processes that were killed during a write."""
        with self._explained("clean up", ""):
            self._backend.sweep()

    def files(self, directory: str) -> list[fs.FileInfo]:
        """The files below a directory, at any depth, in path order; without hidden ones, such as temporary files."""
        try:
            with self._explained("list", directory):
                found = list(self._backend.files(directory))
            return sorted(
                (info for info in found if not info.base_name.startswith(".")),
                key=lambda info: info.path,
            )
        except UnicodeError:
            encoding = sys.getfilesystemencoding()
            way_out = "rename it" if encoding == "utf-8" else "set PYTHONUTF8=1"
            where = self.location(directory)
            raise LakeError(f"a file in {where} has a name that is not {encoding}: {way_out}") from None

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """A digest of each file that exists, to detect changes.

        On disk it is the MD5 of the content. On S3 it is the ETag from a listing, which also is the MD5 unless the
        object is encrypted with KMS or was uploaded in parts.
        """
        names = sorted(paths)
        if not names:
            return {}
        with self._explained("list", os.path.commonpath(names)):
            return self._backend.digests(names)

    def versions(self, paths: Iterable[str]) -> dict[str, str]:
        """What tells each file that exists from others at its path, without reading it.

        On disk it is the file's number, size and time of change, on S3 the ETag.
        """
        names = sorted(paths)
        if not names:
            return {}
        with self._explained("look at", names[0]):
            return self._backend.versions(names)

    def remember(self, path: str, digest: str, value: Any) -> None:
        """Remember a value read from, or written to, a file. Does nothing on disk, where reading again is cheap."""
        if not self.is_local:
            self._remembered[path] = digest, value

    def recall(self, paths: Iterable[str], current: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The remembered values of the files that have not changed since.

        Args:
            paths: the files.
            current: what `digests` just returned for them; if omitted, it is called.
        """
        known = {path: self._remembered[path] for path in paths if path in self._remembered}
        current = self.digests(known) if current is None else current
        return {path: value for path, (digest, value) in known.items() if current.get(path) == digest}

    def info(self, path: str) -> fs.FileInfo:
        """Type, size and modification time of a path; the type is `NotFound` if nothing is there."""
        with self._explained("look at", path):
            return self._backend.info(path)

    def move(self, path: str, target: str) -> None:
        """Move a file to an unused path.

        Raises:
            FileNotFoundError: the file does not exist.
            LakeError: it cannot be moved; it is left where it was.
        """
        with self._explained("move", path):
            self._backend.move(path, target)

    def delete(self, path: str) -> None:
        """Delete a file. Raises like `read`, except that S3 does not report a missing file."""
        with self._explained("delete", path):
            self._backend.delete(path)

    @cached_property
    def _backend(self) -> "Disk | Bucket":
        return Disk(self.root) if self.is_local else self._bucket

    @cached_property
    def _bucket(self) -> "Bucket":
        from neo_assets.lake.s3 import Bucket  # imports the AWS SDK, which is slow

        return Bucket(self.root, _THREADS)

    @contextlib.contextmanager
    def _explained(self, verb: str, path: str) -> Iterator[None]:
        """Turn errors of disk and S3 into one line: what failed, where, and what to do."""
        try:
            yield
        except Exception as error:
            if self._backend.says_missing(error) and verb in ("read", "move", "delete"):
                raise
            explanation = self._backend.explain(error)
            if explanation is None:
                raise
            hint, transient = explanation
            kind = LakeUnreachable if transient else LakeError
            raise kind(f"cannot {verb} {self.location(path)}: {hint}") from error
