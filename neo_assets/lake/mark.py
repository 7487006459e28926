"""The lake's mark: the file that names the source of its data. Who may write to a lake is decided in `owner`."""

import json
from weakref import WeakKeyDictionary

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage

_known: "WeakKeyDictionary[Storage, str]" = WeakKeyDictionary()
"""The source of each lake that this process uses: it never changes, and every table that is written names it."""


def read(storage: Storage) -> str | None:
    """The source that the lake's mark names; None if there is no mark, or if it is damaged."""
    if known := _known.get(storage):
        return known
    try:
        source = json.loads(storage.read(layout.SOURCE_MARK).to_pybytes())["source"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(source, str):
        return None
    _known[storage] = source
    return source


def write(storage: Storage, source: str) -> bool:
    """Mark a lake that has no mark, or a damaged one.

    Returns:
        Whether this call did it. If not, another process has marked the lake in the meantime.
    """
    mark = json.dumps({"source": source}).encode()
    if storage.create(layout.SOURCE_MARK, mark):
        return True
    if read(storage):
        return False
    storage.write(layout.SOURCE_MARK, mark)
    return True
