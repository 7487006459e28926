"""What counts as progress while pages are fetched. Only the times are here; whoever runs the work decides how long it
may go without.
"""

import contextlib
import time
from collections.abc import Callable, Iterator


class Progress:
    """When something was last done, or will be. Any thread may use it."""

    def __init__(self, changed: Callable[[], object] = lambda: None) -> None:
        """`changed` is called whenever something is noted."""
        self._changed = changed
        self._done_at = time.monotonic()
        self._due: list[float] = []
        self._elsewhere: dict[object, float] = {}

    def done(self) -> None:
        """Note that something has been done."""
        self._done_at = time.monotonic()
        self._changed()

    @contextlib.contextmanager
    def waiting(self, wait_s: float) -> Iterator[None]:
        """Note a wait whose end is known: until then, nothing need be done."""
        due_at = time.monotonic() + wait_s
        self._due.append(due_at)
        self._changed()
        try:
            yield
        finally:
            self._due.remove(due_at)
            self.done()

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[Callable[[float], None]]:
        """Follow the progress of another process: note each time that its own `at` has changed, until the end."""
        process = object()

        def was(at: float) -> None:
            self._elsewhere[process] = at

        try:
            yield was
        finally:
            self._elsewhere.pop(process, None)
            self.done()

    @property
    def at(self) -> float:
        """The time of the last progress (`time.monotonic`); in the future while a wait lasts."""
        return max([self._done_at, *self._due, *self._elsewhere.values()])
