"""The lake on local disk: files that appear whole or not at all, and what the operating system says of a failure put
into words.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

_SAID = {
    errno.ENOSPC: "the disk is full: free some space, or set NEO_LAKE to a place that has it",
    errno.EDQUOT: "the disk quota is used up: free some space, or set NEO_LAKE to a place that has it",
    errno.EACCES: "permission denied: ask for it, or set NEO_LAKE to a place of your own",
    errno.EPERM: "permission denied: ask for it, or set NEO_LAKE to a place of your own",
    errno.EROFS: "the file system is read-only: set NEO_LAKE to a place that you may write to",
    errno.ENOENT: "the directory cannot be made: set NEO_LAKE to another place",
    errno.ENOTDIR: "a file stands where a directory is needed: set NEO_LAKE to another place",
    errno.EEXIST: "a file stands where a directory is needed: set NEO_LAKE to another place",
}

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links say, such as exFAT and some of the network."""

_OURS = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
"""This machine, in the names of files being written: others may share the disk."""


class Disk:
    """A directory; it is made with the first write."""

    def __init__(self, root: str) -> None:
        """`root`: an absolute path."""
        self._root = Path(root)
        self._filesystem = fs.SubTreeFileSystem(root, fs.LocalFileSystem())

    def read(self, path: str) -> pa.Buffer:
        """A file, whole."""
        with self._filesystem.open_input_file(path) as file:
            return file.read_buffer()

    def read_tail(self, path: str, size: int) -> bytes:
        """The end of a file."""
        with self._filesystem.open_input_file(path) as file:
            length = file.size()
            return bytes(file.read_at(min(size, length), max(0, length - size)))

    def open(self, path: str) -> pa.NativeFile:
        """A file, to be read piece by piece."""
        return self._filesystem.open_input_file(path)

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """A file, written aside and renamed; its MD5."""
        self.write_pieces(path, [data])
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def write_pieces(self, path: str, pieces: Iterable[bytes | pa.Buffer]) -> None:
        """The same of one that comes piece by piece."""
        with self._aside(path, pieces) as (aside, target):
            aside.replace(target)
            _sync(target.parent)

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """A file, written aside and linked to its name, which fails where one stands."""
        with self._aside(path, [data]) as (aside, target):
            try:
                target.hardlink_to(aside)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if target.exists():  # looking first is the best that can be done there
                    return False
                aside.replace(target)
            _sync(target.parent)
            return True

    @contextlib.contextmanager
    def _aside(self, path: str, pieces: Iterable[bytes | pa.Buffer]) -> Iterator[tuple[Path, Path]]:
        """A file beside its place with all that belongs in it, and its place; what is left of it then is deleted."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Hidden from query engines and from `Storage.files`; another name each time, as two processes may write it.
        aside = target.with_name(f".{target.name}.{_OURS}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with aside.open("wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file under the good name
            yield aside, target
        finally:
            aside.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what processes of this machine left behind that were killed in the middle of a write."""
        for aside in self._root.rglob(f".*.{_OURS}-*.tmp"):
            if not is_alive(int(aside.name.rpartition(f".{_OURS}-")[2].split("-")[0])):
                aside.unlink(missing_ok=True)

    def files(self, directory: str) -> Iterator[fs.FileInfo]:
        """The files below a directory; links to other directories are not followed, as they may lead in a circle."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        below = os.walk(self._root / directory, onerror=refuse)
        paths = [os.path.relpath(os.path.join(place, name), self._root) for place, _, names in below for name in names]
        return (info for info in self._filesystem.get_file_info(paths) if info.type == fs.FileType.File)

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """The MD5 of those files that are there."""
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError), (self._root / path).open("rb") as file:
                found[path] = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return found

    def info(self, path: str) -> fs.FileInfo:
        """What is known of a file."""
        return self._filesystem.get_file_info(path)

    def move(self, path: str, target: str) -> None:
        """A rename; of a link what it leads to is copied, which itself stays where it is."""
        source = self._root / path
        (self._root / target).parent.mkdir(parents=True, exist_ok=True)
        try:
            if not source.is_symlink():
                source.rename(self._root / target)
                return
        except OSError as error:
            if error.errno != errno.EXDEV:  # a directory of the lake may be a mount of its own
                raise
        self.write(target, self.read(path))
        self.delete(path)

    def delete(self, path: str) -> None:
        """A file, or a link, gone."""
        (self._root / path).unlink()

    def explain(self, error: Exception) -> tuple[str, bool] | None:
        """What an error of these methods means, and whether it may pass by itself; None for one not of the disk."""
        if not isinstance(error, OSError):
            return None
        return _SAID.get(error.errno or 0, str(error)), False


def _sync(directory: Path) -> None:
    """Make a rename in a directory last through a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_alive(process: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
