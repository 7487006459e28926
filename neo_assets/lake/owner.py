"""Which source a lake belongs to: simulated and real data never mix. What a source is called is decided by its
client.
"""

import json

from neo_assets.lake import layout, raw_pages
from neo_assets.lake.storage import LakeError, Storage


def source_of(storage: Storage) -> str | None:
    """The source of the lake's pages, or None while it holds none."""
    return _marked(storage) or _of_pages(storage)


def check(storage: Storage, source: str) -> None:
    """Make sure that the lake is not one of another source.

    Raises:
        LakeError: it is.
    """
    _refuse_another(storage, source_of(storage), source)


def claim(storage: Storage, source: str) -> bool:
    """Make sure that the lake is one of this source; an empty lake becomes one.

    Returns:
        Whether it was empty.

    Raises:
        LakeError: it belongs to another source.
    """
    mark = json.dumps({"source": source}).encode()
    while (owner := _marked(storage)) is None:
        _refuse_another(storage, known := _of_pages(storage), source)
        if storage.create(layout.SOURCE_MARK, mark):  # else another process was quicker: look again whose it is
            return known is None
    _refuse_another(storage, owner, source)
    return False


def _marked(storage: Storage) -> str | None:
    """What the lake's mark says; None where there is none."""
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


def _of_pages(storage: Storage) -> str | None:
    """What the first stored page says that can be read: the mark may have been lost."""
    facts = (raw_pages.read_facts(storage, number) for number in raw_pages.stored_numbers(storage))
    return next((one.source for one in facts if one), None)


def _refuse_another(storage: Storage, owner: str | None, source: str) -> None:
    if owner not in (None, source):
        way_out = (
            "set NASA_API_KEYS to go on with nasa" if owner == "nasa" else "or unset NASA_API_KEYS to go on simulated"
        )
        raise LakeError(
            f"the lake {storage.root} holds data from {owner}, and {source} is the source now; they do not mix: "
            f"set NEO_LAKE to another place for {source}, {way_out}"
        )
