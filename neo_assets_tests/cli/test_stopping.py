"""Ctrl-C ends `neo` with one line and exit code 130, whenever it is pressed."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from neo_assets.cli import main, stopping
from neo_assets.cli.runner import Runner
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import Ended, place
from neo_assets_tests.settings import settings_of

STOPPED = "Stopped. Everything stored so far is kept; run the same command again to continue."


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals of this process are noted, and libraries hushed after Ctrl-C, as `main` does."""
    monkeypatch.setattr(stopping, "_pipe", [])
    monkeypatch.setattr(stopping, "_signals", set())
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(sys.stderr))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    stopping.note()
    main._hush_libraries()
    yield
    signal.set_wakeup_fd(-1)
    for end in stopping._pipe:
        os.close(end)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def python(code: str) -> Ended:
    """Run code in a process of its own, which ends as `neo` does."""
    command = ["env", "--default-signal=INT", sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_ctrl_c_is_not_lost_where_python_drops_exceptions(
    neo: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thing:
        pass

    def lose() -> None:
        thing = Thing()
        _ = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        time.sleep(30)
        raise AssertionError("it was not interrupted")

    monkeypatch.setattr(Settings, "load", lose)
    ended = neo("totals")
    assert ended.code == 130
    assert ended.err.strip() == "Stopped. Everything stored so far is kept; run the same command again to continue."


@pytest.mark.usefixtures("noted")
def test_ctrl_c_that_a_library_turns_into_another_error_ends_the_command(
    neo: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrap() -> None:
        try:
            press()
        except KeyboardInterrupt:
            logging.getLogger("a library").error("a connection is lost", exc_info=True)
            warnings.showwarning("never awaited", RuntimeWarning, "a library", 1)
            raise RuntimeError("a connection is lost") from None

    monkeypatch.setattr(Settings, "load", wrap)
    assert neo("totals") == Ended(130, "", f"{STOPPED}\n")


@pytest.mark.usefixtures("noted")
def test_what_callbacks_raise_after_ctrl_c_is_not_printed(
    neo: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Half:
        def __del__(self) -> None:
            raise AttributeError("half made")

    def make() -> None:
        half = Half()
        try:
            press()
        finally:
            del half
            gc.collect()

    monkeypatch.setattr(Settings, "load", make)
    assert neo("totals") == Ended(130, "", f"{STOPPED}\n")


@pytest.mark.usefixtures("noted")
def test_ctrl_c_that_dagster_keeps_to_itself_ends_the_run(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a run's last step and its end, Dagster notes Ctrl-C and forgets it."""
    handle = dg.DagsterInstance.handle_new_event

    def handle_and_press(self: dg.DagsterInstance, event: dg.EventLogEntry, **options: Any) -> None:
        handle(self, event, **options)
        if event.dagster_event and event.dagster_event.event_type == dg.DagsterEventType.RUN_SUCCESS:
            press()

    monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", handle_and_press)
    settings = settings_of(lake=lake.root, pages=4)
    with dg.DagsterInstance.ephemeral() as instance, Runner(settings, instance=instance) as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.refresh()
        assert len(instance.get_runs()) == 1


def test_ctrl_c_during_the_first_imports() -> None:
    ended = python(
        "import signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'click': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from neo_assets.cli.main import main"
    )
    assert ended == Ended(130, "", f"{STOPPED}\n")


def test_ctrl_c_once_the_work_is_done_is_ignored() -> None:
    ended = python(
        "import atexit, signal, sys\n"
        "atexit.register(lambda: signal.raise_signal(signal.SIGINT))\n"
        "sys.argv = ['neo', '--version']\n"
        "from neo_assets.cli.main import main\n"
        "main()"
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("neo, version ")


@pytest.mark.slow
def test_ctrl_c_at_many_moments_of_a_run(tmp_path: Path) -> None:
    began = time.monotonic()
    whole = place(tmp_path / "whole").start("neo", "run", NEO_PAGES=4).wait()
    takes_s = time.monotonic() - began
    assert whole.code == 0
    parts, stopped = 6, 0
    for number in range(parts):
        started = place(tmp_path / str(number)).start("neo", "run", NEO_PAGES=4)
        time.sleep(takes_s * (number + 0.5) / parts)
        ended = started.interrupt()
        if ended.code == 0:  # it was faster than before
            assert ended.out
            continue
        assert ended.code == 130
        stopped += 1
        *progress, last = ended.err.splitlines()
        assert last == STOPPED
        assert all(line.startswith(("Gathering ", "[")) for line in progress)
    assert stopped


def test_a_process_whose_streams_are_closed_ends_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at Ctrl-C before `main` has opened the null device in their place."""

    def left(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", left)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with pytest.raises(SystemExit, match="130"):
        stopping.leave(stopping.EXIT_CODE)
