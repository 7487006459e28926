"""Several processes that answer together for `neo serve`."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

from uvicorn.supervisors import Multiprocess

logger = logging.getLogger(__name__)


def end_with_parent() -> None:
    """Have this process end once the one that started it has, even if that one is killed: it would hold the port."""
    if parent := multiprocessing.parent_process():

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="parent", daemon=True).start()


class Workers(Multiprocess):
    """Workers that Ctrl-C in a terminal does not reach, as it could interrupt an import: this process ends them."""

    def init_processes(self) -> None:
        """Start all of them."""
        with _ctrl_c_held_back():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Start another one in place of one that has died, and say so."""
        before = list(self.processes)
        with _ctrl_c_held_back():
            super().keep_subprocess_alive()
        for dead in set(before).difference(self.processes):
            logger.warning("worker %s ended with code %s; another one was started", dead.pid, dead.exitcode)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes that are started in the block never get SIGINT; this one gets it after the block."""
    resource_tracker.ensure_running()  # otherwise the first start does so, and then lets SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
