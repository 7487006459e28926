"""Files in the lake's landing zone: listed, decompressed, moved away. Their content is interpreted elsewhere."""

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyarrow import fs

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage

_CODECS = {"gz": "gzip", "zst": "zstd"}
_MAGIC = re.compile(rb"(?P<gzip>\x1f\x8b)|(?P<zstd>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)", re.DOTALL)
"""How compressed files begin (RFC 1952, section 2.3.1; RFC 8878, section 3.1)."""

_PIECE = 1 << 20

Clean = Callable[[bytes], bytes]
"""Removes from a line, or a name, what must not be stored, such as API keys."""


@dataclass(frozen=True)
class LandedFile:
    """A file in the landing zone; `name` is its path relative to the zone."""

    name: str
    modified: datetime
    version: str
    """What tells it from another file of the same name."""

    @property
    def path(self) -> str:
        """Its path in the lake."""
        return layout.landed(self.name)


@dataclass(frozen=True)
class Content:
    """The content of an open file, compressed as its extension indicates."""

    file: pa.NativeFile
    codec: str | None

    def lines(self) -> Iterator[bytes]:
        """The lines, with their line feeds, read and decompressed on demand.

        Raises:
            OSError: the compressed data is damaged or truncated.
        """
        stream = self.file.get_stream(0, self.file.size())
        return iter(io.BufferedReader(pa.CompressedInputStream(stream, self.codec) if self.codec else stream, _PIECE))

    def is_changed_by(self, clean: Clean) -> bool:
        """Whether cleaning changes any line.

        Raises:
            OSError: the compressed data is damaged or truncated, so that what it holds is not known.
        """
        return sum(clean(line) != line for line in self.as_found().lines()) > 0  # reads to the end, to find any damage

    def as_found(self) -> "Content":
        """The same file, compressed as its first bytes show, whatever its name says."""
        found = _MAGIC.match(self.file.read_at(min(4, self.file.size()), 0))
        return Content(self.file, found.lastgroup if found else None)

    def compressed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Other lines, compressed in the same way, piece by piece."""
        size = 0
        piece: list[bytes] = []
        for line in lines:
            piece.append(line)
            if (size := size + len(line)) > _PIECE:
                yield self._compress(piece)
                piece, size = [], 0
        yield self._compress(piece)

    def _compress(self, lines: list[bytes]) -> bytes:
        text = b"".join(lines)
        return pa.compress(text, self.codec, asbytes=True) if self.codec else text  # both formats can be concatenated


def waiting(storage: Storage, settled_s: float = 0) -> list[LandedFile]:
    """The files in the landing zone, oldest change first.

    Omits hidden files (a leading dot in any part of the path), reason files that were moved back with their files, and
    files changed in the last `settled_s` seconds, which may still be incomplete.
    """
    now = datetime.now(UTC)
    listed = {info.path: info.mtime for info in storage.files(layout.landed("").rstrip("/"))}
    files = (
        LandedFile(path.removeprefix(layout.landed("")), listed[path], version)
        for path, version in storage.versions(listed).items()
    )
    return sorted(
        (
            file
            for file in files
            if not any(part.startswith(".") for part in file.name.split("/"))
            and not layout.is_reason(file.name)
            and abs(now - file.modified) >= timedelta(seconds=settled_s)
        ),
        key=lambda file: (file.modified, file.name),
    )


def read(storage: Storage, file: LandedFile) -> Content:
    """A file's content, read and decompressed on demand; on S3 the file is read at once."""
    return Content(storage.open(file.path), _CODECS.get(file.name.rpartition(".")[2].lower()))


def archive(storage: Storage, file: LandedFile, clean: Clean, to_clean: bool) -> str | None:
    """Move a file to today's archive directory (UTC).

    Args:
        storage: the lake.
        file: the file, as it was listed.
        clean: removes from its name and its lines what must not be stored.
        to_clean: whether to clean its lines; otherwise the file is moved unread.

    Returns:
        The new path; None if the file changed since it was listed, and so was left in place.

    Raises:
        FileNotFoundError: another process has moved it away.
    """
    day = datetime.now(UTC).date()
    return _move_away(storage, file, lambda name: layout.archived(name, day), clean, to_clean)


def set_aside(storage: Storage, file: LandedFile, reason: str, clean: Clean, to_clean: bool) -> str | None:
    """Move a file to the quarantine and write the reason beside it. Otherwise works like `archive`."""
    target = _move_away(storage, file, layout.set_aside, clean, to_clean)
    if target:
        storage.write(layout.reason_of(target), f"{reason}\n".encode())
    return target


def _move_away(
    storage: Storage, file: LandedFile, place: Callable[[str], str], clean: Clean, to_clean: bool
) -> str | None:
    """Move a file to an unused path; if `to_clean`, write its cleaned content there and delete the file."""
    version = storage.versions([file.path]).get(file.path)
    if version is None:
        raise FileNotFoundError(file.path)
    if version != file.version:
        return None
    content = read(storage, file).as_found() if to_clean else None
    target = _unused(storage, clean(file.name.encode()).decode(), place)
    if content:
        storage.write_pieces(target, content.compressed(map(clean, content.lines())))
        storage.delete(file.path)
    else:
        storage.move(file.path, target)
    return target


def _unused(storage: Storage, name: str, place: Callable[[str], str]) -> str:
    """An unused path for a file of this name, with -2, -3, ... before its extension if needed."""
    directory, slash, base = name.rpartition("/")
    stem, dot, extension = base.partition(".")
    names = (f"{directory}{slash}{stem}-{number}{dot}{extension}" for number in itertools.count(2))
    return next(
        path for path in map(place, itertools.chain([name], names)) if storage.info(path).type == fs.FileType.NotFound
    )
