"""Files that wait in the lake's landing zone: listed, read through their compression, put away. What is in them is not
known here.
"""

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyarrow import fs

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage

_CODECS = {"gz": "gzip", "zst": "zstd"}
_PIECE = 1 << 20

Clean = Callable[[bytes], bytes]
"""Takes out of a line what must not be kept."""


@dataclass(frozen=True)
class LandedFile:
    """A file that waits; `name` is its path below the landing zone."""

    name: str
    modified: datetime
    size: int

    @property
    def path(self) -> str:
        """Its path in the lake."""
        return layout.landed(self.name)


@dataclass(frozen=True)
class Content:
    """What is in an open file, compressed as its name says."""

    file: pa.NativeFile
    codec: str | None

    def lines(self) -> Iterator[bytes]:
        """The lines, line feeds included, read and decompressed as they are asked for.

        Raises:
            OSError: the compression is damaged, or cut short.
        """
        stream = self.file.get_stream(0, self.file.size())
        return iter(io.BufferedReader(pa.CompressedInputStream(stream, self.codec) if self.codec else stream, _PIECE))

    def is_changed_by(self, clean: Clean) -> bool:
        """Whether there is something to be taken out; out of what is damaged nothing can be."""
        try:
            return sum(clean(line) != line for line in self.lines()) > 0  # to the end, where damage may be
        except OSError:
            return False

    def of(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Other lines in the same compression, piece by piece."""
        size = 0
        piece: list[bytes] = []
        for line in lines:
            piece.append(line)
            if (size := size + len(line)) > _PIECE:
                yield self._packed(piece)
                piece, size = [], 0
        yield self._packed(piece)

    def _packed(self, lines: list[bytes]) -> bytes:
        text = b"".join(lines)
        return pa.compress(text, self.codec, asbytes=True) if self.codec else text  # members may follow one another


def waiting(storage: Storage, settled_s: float = 0) -> list[LandedFile]:
    """The files in the landing zone, the one changed last at the end.

    Left out are hidden ones (a leading dot in the name, or in that of a directory on the way), reasons that were moved
    back together with their files, and those changed in the last `settled_s` seconds, which may still be written.
    """
    now = datetime.now(UTC)
    files = (
        LandedFile(info.path.removeprefix(layout.landed("")), info.mtime, info.size)
        for info in storage.files(layout.landed("").rstrip("/"))
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
    """A file's content, which is read and decompressed when its lines are asked for; on S3 it is read now."""
    return Content(storage.open(file.path), _CODECS.get(file.name.rpartition(".")[2].lower()))


def archive(storage: Storage, file: LandedFile, clean: Clean, to_clean: bool) -> str | None:
    """Move a file to the archive of today (UTC).

    Args:
        storage: the lake.
        file: the file, as it was listed.
        clean: takes out of its name, and of its lines, what must not be kept.
        to_clean: whether there is something in its lines; else it is moved as it is, and not read.

    Returns:
        Where it is now; None where it was left, as it changed since it was listed.

    Raises:
        FileNotFoundError: another process has put it away.
    """
    day = datetime.now(UTC).date()
    return _put_away(storage, file, lambda name: layout.archived(name, day), clean, to_clean)


def set_aside(storage: Storage, file: LandedFile, reason: str, clean: Clean, to_clean: bool) -> str | None:
    """Move a file to the quarantine, the reason beside it. Takes, returns and raises as `archive` does."""
    target = _put_away(storage, file, layout.set_aside, clean, to_clean)
    if target:
        storage.write(layout.reason_of(target), f"{reason}\n".encode())
    return target


def _put_away(
    storage: Storage, file: LandedFile, place: Callable[[str], str], clean: Clean, to_clean: bool
) -> str | None:
    """Move a file to a free name; where it is to be cleaned, the cleaned content goes there in its stead."""
    found = storage.info(file.path)
    if found.type != fs.FileType.File:
        raise FileNotFoundError(file.path)
    if (found.mtime, found.size) != (file.modified, file.size):
        return None
    content = read(storage, file) if to_clean else None
    target = _free(storage, clean(file.name.encode()).decode(), place)
    if content:
        storage.write_pieces(target, content.of(map(clean, content.lines())))
        storage.delete(file.path)
    else:
        storage.move(file.path, target)
    return target


def _free(storage: Storage, name: str, place: Callable[[str], str]) -> str:
    """A place that nothing stands at: the name, or with -2, -3, ... before its ending."""
    directory, slash, base = name.rpartition("/")
    stem, dot, ending = base.partition(".")
    names = (f"{directory}{slash}{stem}-{number}{dot}{ending}" for number in itertools.count(2))
    return next(
        path for path in map(place, itertools.chain([name], names)) if storage.info(path).type == fs.FileType.NotFound
    )
