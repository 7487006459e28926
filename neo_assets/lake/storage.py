"""Bytes in and out of the lake's root, whole or not at all, through pyarrow's filesystems: local disk and S3.

What the bytes are, and where in the lake they go, is decided elsewhere (`raw_pages`, `tables`, `layout`).
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from pyarrow import fs


class LakeError(Exception):
    """The lake cannot be read or written as asked; the message names the place and the way out. Trying again is no
    use.
    """


class Storage:
    """The lake's root: a local directory (relative to the working directory) or `s3://bucket/prefix`."""

    def __init__(self, root: str) -> None:
        """Nothing is opened or made before the first use."""
        self.root = root if root.startswith("s3://") else str(Path(root).expanduser().absolute())

    @property
    def is_local(self) -> bool:
        """Whether the lake lies on local disk."""
        return not self.root.startswith("s3://")

    @cached_property
    def filesystem(self) -> fs.FileSystem:
        """The root as a pyarrow filesystem of its own."""
        base, path = (fs.LocalFileSystem(), self.root) if self.is_local else fs.FileSystem.from_uri(self.root)
        return fs.SubTreeFileSystem(path, base)

    def location(self, path: str) -> str:
        """The full name of a path: what a person or another program opens it by."""
        return f"{self.root}/{path}"

    def read(self, path: str) -> pa.Buffer:
        """The whole content of a file.

        Raises:
            FileNotFoundError: there is none.
            LakeError: it cannot be read.
        """
        with self._plainly("read", path), self.filesystem.open_input_file(path) as file:
            return file.read_buffer()

    def read_tail(self, path: str, size: int) -> bytes:
        """The last `size` bytes of a file, or all of a shorter one. Raises as `read` does."""
        with self._plainly("read", path), self.filesystem.open_input_file(path) as file:
            length = file.size()
            return bytes(file.read_at(min(size, length), max(0, length - size)))

    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Put a file in place, whole or not at all; one of that name is replaced.

        Raises:
            LakeError: it cannot be written; what stood there still stands.
        """
        with self._plainly("write", path):
            if self.is_local:
                _write_aside_and_rename(Path(self.root, path), data)
            else:
                with self.filesystem.open_output_stream(path) as file:  # one PUT, as it is written at once
                    file.write(data)

    def files(self, directory: str) -> list[fs.FileInfo]:
        """The files below a directory, at any depth, by path; hidden ones (being written) left out."""
        with self._plainly("list", directory):
            found = self.filesystem.get_file_info(fs.FileSelector(directory, allow_not_found=True, recursive=True))
        return sorted(
            (info for info in found if info.type == fs.FileType.File and not info.base_name.startswith(".")),
            key=lambda info: info.path,
        )

    @contextlib.contextmanager
    def _plainly(self, verb: str, path: str) -> Iterator[None]:
        """Say in one line what could not be done, where, and what to do about it."""
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and verb == "read":
                raise
            hint = {
                errno.ENOSPC: "the disk is full: free some space, or set NEO_LAKE to a place that has it",
                errno.EDQUOT: "the disk quota is used up: free some space, or set NEO_LAKE to a place that has it",
                errno.EACCES: "permission denied: set NEO_LAKE to a place that you may write to",
                errno.EPERM: "permission denied: set NEO_LAKE to a place that you may write to",
                errno.EROFS: "the file system is read-only: set NEO_LAKE to a place that you may write to",
                errno.ENOENT: "the directory cannot be made: set NEO_LAKE to another place",
                errno.ENOTDIR: "a file stands where a directory is needed: set NEO_LAKE to another place",
                errno.EEXIST: "a file stands where a directory is needed: set NEO_LAKE to another place",
            }.get(error.errno or 0, str(error))
            raise LakeError(f"cannot {verb} {self.location(path)}: {hint}") from error


def _write_aside_and_rename(target: Path, data: bytes | pa.Buffer) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden from query engines and from `Storage.files`; another name each time, as two processes may write one file.
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file under the good name
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
