"""The lake on local disk: atomic writes, and clear messages for operating system errors."""

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

_DENIED = "permission denied: get write access, or set NEO_LAKE to a place of your own"
_FILE_IN_THE_WAY = "there is a file where a directory is needed: set NEO_LAKE to another place"
_HINTS = {
    errno.ENOSPC: "the disk is full: free some space, or set NEO_LAKE to a place that has enough",
    errno.EDQUOT: "the disk quota is used up: free some space, or set NEO_LAKE to a place that has enough",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "the file system is read-only: set NEO_LAKE to a writable place",
    errno.ENOENT: "the directory cannot be created: set NEO_LAKE to another place",
    errno.ENOTDIR: _FILE_IN_THE_WAY,
    errno.EEXIST: _FILE_IN_THE_WAY,
    errno.EISDIR: "there is a directory where a file is needed: move it away",
}

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors from file systems without hard links, such as exFAT and some network file systems."""

_MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
"""This machine's mark in the names of temporary files, as other machines may share the disk."""


class Disk:
    """A directory, which is created at the first write."""

    def __init__(self, root: str) -> None:
        """
        Args:
            root: an absolute path.
        """
        self._root = Path(root)
        self._filesystem = fs.SubTreeFileSystem(root, fs.LocalFileSystem())

    def read(self, path: str) -> pa.Buffer:
        """Read a whole file."""
        with self.open(path) as file:
            return file.read_buffer()

    def read_tail(self, path: str, size: int) -> bytes:
        """Read the end of a file."""
        with self.open(path) as file:
            length = file.size()
            return bytes(file.read_at(min(size, length), max(0, length - size)))

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading piece by piece."""
        try:
            return self._filesystem.open_input_file(path)
        except OSError:
            if (self._root / path).is_dir():  # pyarrow raises this one without a number
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            raise

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """Write a file atomically. Returns its MD5."""
        self.write_pieces(path, [data])
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def write_pieces(self, path: str, pieces: Iterable[bytes | pa.Buffer]) -> None:
        """Write a file from pieces, to a temporary file that is then renamed."""
        with self._temporary(path, pieces) as (temporary, target):
            temporary.replace(target)
            _sync(target.parent)

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Write a file atomically unless one exists. Returns whether it was written.

        A hard link from a temporary file to the final name fails if that name is taken.
        """
        with self._temporary(path, [data]) as (temporary, target):
            try:
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                if target.exists():  # not atomic, but the best these file systems allow
                    return False
                temporary.replace(target)
            _sync(target.parent)
            return True

    @contextlib.contextmanager
    def _temporary(self, path: str, pieces: Iterable[bytes | pa.Buffer]) -> Iterator[tuple[Path, Path]]:
        """A complete temporary file beside its final path, and that path. The temporary file is deleted afterwards."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Hidden from query engines and `Storage.files`, and unique, as two processes may write the same file.
        temporary = target.with_name(f".{target.name}.{_MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())  # otherwise a power cut after the rename may leave an empty file
            yield temporary, target
        finally:
            temporary.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete temporary files of processes on this machine that were killed during a write."""
        for temporary in self._root.rglob(f".*.{_MACHINE}-*.tmp"):
            if not is_alive(int(temporary.name.rpartition(f".{_MACHINE}-")[2].split("-")[0])):
                temporary.unlink(missing_ok=True)

    def files(self, directory: str) -> Iterator[fs.FileInfo]:
        """List the files below a directory. Links to directories are not followed, as they may form a cycle."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        tree = os.walk(self._root / directory, onerror=refuse)
        paths = [os.path.relpath(os.path.join(parent, name), self._root) for parent, _, names in tree for name in names]
        return (info for info in self._filesystem.get_file_info(paths) if info.type == fs.FileType.File)

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """The MD5 of each file that exists."""
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError), (self._root / path).open("rb") as file:
                found[path] = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return found

    def versions(self, paths: Iterable[str]) -> dict[str, str]:
        """Number, size and time of change of each file that exists; a file that replaces another has its own number."""
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                stat = (self._root / path).stat()
                found[path] = f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
        return found

    def info(self, path: str) -> fs.FileInfo:
        """Type, size and modification time of a file."""
        return self._filesystem.get_file_info(path)

    def move(self, path: str, target: str) -> None:
        """Rename a file. A link is replaced by a copy of the file that it points to, which stays where it is."""
        source = self._root / path
        (self._root / target).parent.mkdir(parents=True, exist_ok=True)
        try:
            if not source.is_symlink():
                source.rename(self._root / target)
                return
        except OSError as error:
            if error.errno != errno.EXDEV:  # a directory in the lake may be a mount point
                raise
        self.write(target, self.read(path))
        self.delete(path)

    def delete(self, path: str) -> None:
        """Delete a file or a link, and its directory if that is a partition (`name=value`) without another file."""
        file = self._root / path
        file.unlink()
        if "=" in file.parent.name:
            with contextlib.suppress(OSError):  # not empty
                file.parent.rmdir()

    def says_missing(self, error: Exception) -> bool:
        """Whether an error means that a file does not exist."""
        return isinstance(error, FileNotFoundError)

    def explain(self, error: Exception) -> tuple[str, bool] | None:
        """A hint for an error from these methods, and whether a retry may help; None if it is not an `OSError`."""
        if not isinstance(error, OSError):
            return None
        return _HINTS.get(error.errno or 0, str(error)), False


def _sync(directory: Path) -> None:
    """Make a rename in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_alive(process: int) -> bool:
    """Whether a process is running on this machine, by its id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True
