"""Imports of large libraries, as commands make them once they need them."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Import something large in the block. What an import makes is not garbage.

    Looking for garbage would take an eighth of the import's time, and another 0.1 to 0.2 s at each later full
    collection. What other threads have made by then is spared as well.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
