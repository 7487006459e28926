"""The source that owns a lake: simulated and real data never mix. The client determines the source of a page."""

from neo_assets.lake import mark, raw_pages
from neo_assets.lake.storage import LakeError, Storage


def source_of(storage: Storage) -> str | None:
    """The source of the lake's pages; None for an empty lake."""
    return mark.read(storage) or _source_of_pages(storage)


def check(storage: Storage, source: str) -> None:
    """Check that the lake is empty or belongs to this source.

    Raises:
        LakeError: it belongs to another source.
    """
    _refuse_other(storage, source_of(storage), source)


def claim(storage: Storage, source: str) -> bool:
    """Check that the lake belongs to this source, and claim an empty lake for it.

    Returns:
        Whether it was empty.

    Raises:
        LakeError: it belongs to another source.
    """
    while (owner := mark.read(storage)) is None:
        _refuse_other(storage, known := _source_of_pages(storage), source)
        if mark.write(storage, source):  # otherwise another process was faster: read its mark
            return known is None
    _refuse_other(storage, owner, source)
    return False


def _source_of_pages(storage: Storage) -> str | None:
    """The source of the first readable page, in case the mark was lost or damaged."""
    facts = (raw_pages.read_facts(storage, number) for number in raw_pages.stored_numbers(storage))
    return next((one.source for one in facts if one), None)


def _refuse_other(storage: Storage, owner: str | None, source: str) -> None:
    if owner not in (None, source):
        raise LakeError(
            f"the lake {storage.root} holds data from {owner}, but the source is now {source}; they do not mix: set "
            f"NEO_LAKE to another place for {source}, or {'set' if owner == 'nasa' else 'unset'} NASA_API_KEYS to "
            f"continue with {owner}"
        )
