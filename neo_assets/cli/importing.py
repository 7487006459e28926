"""Imports of large libraries, as commands make them once they need them."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Import something large in the block. What an import makes is not garbage.

    To look for some takes an eighth of its time, and 0.1 to 0.2 s each time later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
