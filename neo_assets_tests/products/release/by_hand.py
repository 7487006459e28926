"""Releases without the checks that `neo release` judges first, and readers of their texts. No assertions here."""

import json
from pathlib import Path
from typing import Any

import yaml

from neo_assets.lake.storage import Storage
from neo_assets.products.release.about import About
from neo_assets.products.release.files import Data
from neo_assets.products.release.folder import Folder
from neo_assets.products.release.manifest import write
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.products.by_hand import contents

TABLES = {"neos", "close_approaches", "snapshot", "dictionary", *(total.name for total in METRICS.every_total)}

TEXTS = {"README.md", "LICENSE.md", "CITATION.cff", "croissant.json"}


def publish(lake: Storage, folder: Path) -> Path:
    """Write a release of a lake with the page sets of `products.by_hand`."""
    held = contents(lake)
    [snapshot] = held.snapshot.to_pylist()
    with Folder(folder, lake) as place:
        write(place, About(snapshot, "drifted"), Data(lake, held), {}, lambda name, size: None)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def front_matter(folder: Path) -> dict[str, Any]:
    """The metadata in front of the card."""
    _, front, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def contents_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every file, hidden ones too, by name."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}
