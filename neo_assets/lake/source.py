"""Which source a lake belongs to: simulated and real data never mix. What a source is called is decided by its
client.
"""

import json

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, Storage


def source_of(storage: Storage) -> str | None:
    """The source of the lake's pages, or None while it holds none."""
    try:
        source = json.loads(storage.read(layout.SOURCE_MARK).to_pybytes())["source"]
        if isinstance(source, str):
            return source
        raise TypeError
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        mark = storage.location(layout.SOURCE_MARK)
        raise LakeError(f'{mark} cannot be read: write it again as {{"source": "nasa"}}, or with simulator') from None


def check(storage: Storage, source: str) -> str | None:
    """Make sure that the lake is not one of another source.

    Returns:
        Its source, or None while it holds no pages.

    Raises:
        LakeError: it is.
    """
    owner = source_of(storage)
    if owner not in (None, source):
        way_out = (
            "set NASA_API_KEYS to go on with nasa" if owner == "nasa" else "or unset NASA_API_KEYS to go on simulated"
        )
        raise LakeError(
            f"the lake {storage.root} holds data from {owner}, and {source} is the source now; they do not mix: "
            f"set NEO_LAKE to another place for {source}, {way_out}"
        )
    return owner


def claim(storage: Storage, source: str) -> None:
    """Make sure that the lake is one of this source; an empty lake becomes one.

    Raises:
        LakeError: it belongs to another source.
    """
    mark = json.dumps({"source": source}).encode()
    while check(storage, source) is None and not storage.create(layout.SOURCE_MARK, mark):
        pass  # another process was quicker: look again whose it is
