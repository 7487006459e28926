"""The lake's mark: the file that names the source of its data. Who may write to a lake is decided in `owner`."""

import json
from weakref import WeakKeyDictionary

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.schema.pages import NASA, SIMULATOR

_last_read: "WeakKeyDictionary[Storage, str]" = WeakKeyDictionary()


def read(storage: Storage) -> str | None:
    """The source that the lake's mark names; None if there is no mark, or if it is damaged."""
    _last_read.pop(storage, None)
    try:
        source = json.loads(storage.read(layout.SOURCE_MARK).to_pybytes())["source"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if source not in (NASA, SIMULATOR):
        return None
    _last_read[storage] = str(source)
    return str(source)


def last_read(storage: Storage) -> str | None:
    """Like `read`, but on S3 only the first time: every table that is written names the source."""
    return read(storage) if storage.is_local else _last_read.get(storage) or read(storage)


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
    return read(storage) == source
