"""The entry point of `neo`: its list of commands, and errors in one line. Each command is a module of its own."""

import sys

from neo_assets.cli import stopping

try:
    import atexit
    import logging
    import os
    import signal
    import threading
    import traceback
    import warnings
    from typing import Any

    import click

    from neo_assets.cli.accept import accept
    from neo_assets.cli.alert import alert
    from neo_assets.cli.audit import audit
    from neo_assets.cli.ddl import ddl
    from neo_assets.cli.json_log import begin_if_set, log_error
    from neo_assets.cli.land import land
    from neo_assets.cli.plan import plan
    from neo_assets.cli.prune import prune
    from neo_assets.cli.quarantine import quarantine
    from neo_assets.cli.recompute import recompute
    from neo_assets.cli.release import release
    from neo_assets.cli.report import report
    from neo_assets.cli.requests import requests
    from neo_assets.cli.run import run
    from neo_assets.cli.serve import serve
    from neo_assets.cli.simulate import simulate
    from neo_assets.cli.sql import sql
    from neo_assets.cli.tables import tables
    from neo_assets.cli.totals import totals
    from neo_assets.cli.upcoming import upcoming
    from neo_assets.settings import ALLOWED, SettingsError
except KeyboardInterrupt:
    stopping.say()
    sys.exit(stopping.EXIT_CODE)

# Commands import Dagster and pyarrow when they run, so `neo --help` answers at once.

_WIDEST = max(map(len, ALLOWED))
_EPILOG = "\b\nSettings (environment variables, or lines of a .env file in the working directory):\n" + "\n".join(
    f"  {name:<{_WIDEST + 2}}{allowed}" for name, allowed in ALLOWED.items()
)
_EPILOG += "\n\nIf NASA_API_KEYS and NASA_API_KEY are both set, NASA_API_KEYS wins."

_INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
"""Exceptions that Ctrl-C raises, outside and inside Dagster's steps."""


class _Commands(click.Group):
    """The commands of `neo`."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command. Ctrl-C ends it in the way that Click prints nothing about."""
        try:
            begin_if_set()
            return super().invoke(context)
        except KeyboardInterrupt:
            raise click.Abort from None


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="neo_assets")
def neo() -> None:
    """Gather NASA's near-Earth objects (NEOs) into a data lake, and count their close approaches and near misses.

    Start with `neo run`. Without NASA_API_KEYS, it uses an embedded simulator of NASA's NeoWs API, which needs no
    network; its objects are made up.
    """


for command in (
    *(run, plan, recompute, land, totals, upcoming, report, sql, tables, ddl, serve, requests, release),
    *(quarantine, prune, accept, audit, alert, simulate),
):
    neo.add_command(command)


def main() -> None:
    """Entry point: run a command, and end the process."""
    try:
        stopping.note()
        _hush_libraries()
        code = run_plainly()
        stopping.ignore()
    except KeyboardInterrupt:
        stopping.ignore()
        stopping.say()
        code = stopping.EXIT_CODE
    if code != stopping.EXIT_CODE:  # then exit handlers may wait for requests under way
        atexit._run_exitfuncs()
    stopping.leave(code)


def run_plainly() -> int:
    """Run the command that the arguments name, and report expected errors in one line.

    Returns:
        The exit code.
    """
    _replace_closed_streams()
    before, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        neo(standalone_mode=False)
        return 0
    except BaseException as error:
        if isinstance(error, (click.Abort, KeyboardInterrupt)) or stopping.was_pressed():
            stopping.say()
            return stopping.EXIT_CODE
        if isinstance(error, click.ClickException):
            if not log_error(error.format_message()):
                error.show()
            return error.exit_code
        if isinstance(error, SettingsError):
            _say(str(error))
            return 2
        if isinstance(error, OSError) and _is_of_output(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at exit
            _say(f"standard output cannot be written ({error.strerror})")
            return 1
        if not isinstance(error, Exception):
            raise
        from neo_assets.orchestration.failures import EXPECTED
        from neo_assets.pipeline.text import one_line

        if not isinstance(error, EXPECTED):
            if log_error(f"unexpected {type(error).__name__}: {error}", unexpected=True):
                return 1
            raise
        _say(one_line(str(error)))
        return 1
    finally:
        sys.unraisablehook = before


def _say(error: str) -> None:
    """Report the error that ends a command."""
    if not log_error(error):
        click.echo(f"Error: {error}", err=True)


def _is_of_output(error: OSError) -> bool:
    """Whether printing failed, and not what a command does."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code is click.echo.__code__


def _hush_libraries() -> None:
    """Print nothing of what libraries log or warn of after Ctrl-C, such as a connection that is lost."""
    show = warnings.showwarning
    warnings.showwarning = lambda *what, **more: None if stopping.was_pressed() else show(*what, **more)
    if logging.lastResort:  # prints what no other handler takes
        logging.lastResort.addFilter(lambda _: not stopping.was_pressed())


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that is closed; else the next file opened would take its number,
    and receive what other libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # it stays open


def _interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that Python dropped because it arrived in a callback, such as that of a weak reference."""
    if lost.exc_type.__name__ in _INTERRUPTS:
        # Python raises it in the main thread only, so this is that thread; the signal wakes it from any wait.
        threading.Timer(0.01, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    elif not stopping.was_pressed():
        sys.__unraisablehook__(lost)
