"""A release as a whole: which texts are beside the data, and `manifest.json`, which names everything with its SHA-256.
Nothing in it depends on when it is made, so the same lake gives the same bytes.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from neo_assets.products import database
from neo_assets.products.release.about import LICENCE, About, tool
from neo_assets.products.release.card import CARD, card
from neo_assets.products.release.citation import CITATION, citation, licence
from neo_assets.products.release.croissant import CROISSANT, croissant
from neo_assets.products.release.files import Data
from neo_assets.products.release.folder import FORMAT, Folder

VERSION = 1
"""Version of the manifest's own fields."""


def write(folder: Folder, about: About, data: Data, checks: Mapping[str, Any], say: Callable[[str, int], None]) -> None:
    """Write a release to a folder, replacing the one before.

    Args:
        folder: the folder, which was entered.
        about: what is said of the release.
        data: its data.
        checks: what the checks found, for the manifest.
        say: called with the name and the size of each file that was written.

    Raises:
        Refused: a file cannot be written.
        LakeError: a product cannot be read, or was replaced meanwhile.
    """
    for file in data.files:
        say(file.name, folder.write(file.name, file.pieces()))
    texts = {
        CARD: card(about, data),
        LICENCE: licence(about),
        CITATION: citation(about),
        CROISSANT: croissant(about, data, folder.written),
    }
    for name, text in texts.items():
        say(name, folder.write(name, [text.encode()]))
    folder.finish(_manifest(about, data, folder.written, checks))


def _manifest(about: About, data: Data, written: Mapping[str, tuple[int, str]], checks: Mapping[str, Any]) -> str:
    """The text of `manifest.json`."""
    rows = {file.name: file.rows for file in data.files}
    said = {
        "format": FORMAT,
        "format_version": VERSION,
        "title": about.title,
        "made_with": f"neo_assets {tool()}",
        "released_even_if": about.despite,
        "citation": about.citation,
        "snapshot": about.snapshot,
        "checks": checks,
        "files": [_file(name, *written[name], rows.get(name)) for name in written],
    }
    return json.dumps(said, indent=2, ensure_ascii=False, default=lambda time: time.isoformat()) + "\n"


def _file(name: str, size: int, sha256: str, rows: int | None) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "bytes": size, "sha256": sha256}
    if rows is not None:
        said["rows"] = rows
    if name == database.DATABASE:
        said["note"] = "DuckDB gives each file it makes a random identifier: made anew, the same rows have other bytes."
    return said
