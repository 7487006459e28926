"""The folder that a release is written to. A half-written one never looks whole: files are made aside, then take their
places, and the manifest comes last. What the files hold is decided elsewhere.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import pyarrow as pa

from neo_assets.lake.storage import Storage
from neo_assets.pipeline.text import first_few

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"

FORMAT = "neo_assets release"
"""What a manifest of ours says of itself."""

_ASIDE = ".neo-release"
"""Folder of the files until they are all made; if the process is killed, it stays."""

_JOURNAL = "replacing.json"
"""File in it that names the files of the former and of the new release, while the new ones take their places."""


class Refused(Exception):
    """A release cannot be written to this folder; the message says why, and what to do."""


class Folder:
    """A folder for a release, and for the next one after it. Hidden files in it, such as `.git`, are left alone."""

    def __init__(self, path: Path, lake: Storage) -> None:
        """Look whether a release may be written there; nothing is changed.

        Raises:
            Refused: it is a file, is part of the lake or holds it, or holds files that are of no release.
        """
        self.path = path
        with _explained(path):
            if path.exists() and not path.is_dir():
                raise Refused(f"{path} is a file: name a folder, which is created if it does not exist")
            place = path.resolve()
            root = Path(lake.root).resolve()
            if lake.is_local and (place.is_relative_to(root) or root.is_relative_to(place)):
                raise Refused(f"{path} and the lake {lake.root} are in each other: name a folder outside of it")
            found = {one.name for one in path.iterdir() if not one.name.startswith(".")} if path.exists() else set()
            self._former = found & _former(path)
        if foreign := sorted(found - self._former):
            raise Refused(
                f"{path} holds {first_few(foreign, 3)}, which are of no release: name another folder, or move them away"
            )
        self._written: dict[str, tuple[int, str]] = {}
        self._replacing = False

    @property
    def written(self) -> Mapping[str, tuple[int, str]]:
        """Size and SHA-256 of each file that was written, by name."""
        return self._written

    def __enter__(self) -> Self:
        with _explained(self.path):
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._replacing:
            shutil.rmtree(self._aside, ignore_errors=True)

    def write(self, name: str, pieces: Iterable[bytes | pa.Buffer]) -> int:
        """Write a file aside.

        Returns:
            Its size in bytes.

        Raises:
            Refused: it cannot be written.
        """
        size, digest = 0, hashlib.sha256()
        with _explained(self.path / name), (self._aside / name).open("wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        self._written[name] = size, digest.hexdigest()
        return size

    def finish(self, manifest: str) -> None:
        """Let the files take the places of those of the former release, the manifest last.

        Raises:
            Refused: a file cannot be replaced.
        """
        self.write(MANIFEST, [manifest.encode()])
        sums = "".join(f"{sha256}  {name}\n" for name, (_, sha256) in sorted(self._written.items()))
        self.write(SUMS, [sums.encode()])
        with _explained(self.path):
            names = json.dumps(sorted(self._former | self._written.keys()))
            (self._aside / _JOURNAL).write_text(names, encoding="utf-8")
            self._replacing = True
            for name in (MANIFEST, *sorted(self._former - self._written.keys())):
                (self.path / name).unlink(missing_ok=True)
            for name in sorted(self._written.keys() - {MANIFEST}):
                os.replace(self._aside / name, self.path / name)
            os.replace(self._aside / MANIFEST, self.path / MANIFEST)
            self._replacing = False

    @property
    def _aside(self) -> Path:
        return self.path / _ASIDE


def _former(path: Path) -> set[str]:
    """The files of the release in a folder, or of those whose replacement was cut short there."""
    names: set[str] = set()
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        said = json.loads((path / MANIFEST).read_bytes())
        if said["format"] == FORMAT:
            names |= {MANIFEST, SUMS, *(file["name"] for file in said["files"])}
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        names |= {*json.loads((path / _ASIDE / _JOURNAL).read_bytes())}
    return names


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}") from None
