"""Pages at a glance, kept in memory from the step that reads them to its checks, which need not read them then. What
there is to see is in `sources.neows.shape`.
"""

import threading

from neo_assets.schema.pages import StoredPage
from neo_assets.sources.neows.shape import Look, look_at

_MOST = 500
"""Looks kept, of 2 KB each: some ten page sets of the whole catalogue."""

_kept: dict[str, Look] = {}
"""Looks by the SHA-256 of the page's body, in the order in which they were taken."""
_lock = threading.Lock()


def keep(page: StoredPage) -> Look:
    """Look at a page, and keep what is seen.

    Raises:
        ValueError: the body is not a page.
    """
    look = look_at(memoryview(page.body))
    with _lock:
        _kept[page.facts.sha256] = look
        for oldest in list(_kept)[: len(_kept) - _MOST]:
            del _kept[oldest]
    return look


def recall(sha256: str) -> Look | None:
    """What was seen on a page with this digest; None if this process has not kept it."""
    with _lock:
        return _kept.get(sha256)
