"""The entry point of `neo`: its list of commands, and errors in one line. Each command is a module of its own."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

from neo_assets.cli.land import land
from neo_assets.cli.plan import plan
from neo_assets.cli.prune import prune
from neo_assets.cli.quarantine import quarantine
from neo_assets.cli.recompute import recompute
from neo_assets.cli.run import run
from neo_assets.cli.simulate import simulate
from neo_assets.cli.totals import totals
from neo_assets.settings import ALLOWED, SettingsError

# Commands import Dagster and pyarrow when they run, so `neo --help` answers at once.

_EPILOG = "\b\nSettings (environment variables, or lines of a .env file in the working directory):\n" + "\n".join(
    f"  {name:<24}{allowed}" for name, allowed in ALLOWED.items()
)
_EPILOG += "\n\nIf NASA_API_KEYS and NASA_API_KEY are both set, NASA_API_KEYS wins."

_INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
"""Exceptions that Ctrl-C raises, outside and inside Dagster's steps."""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="neo_assets")
def neo() -> None:
    """Gather NASA's near-Earth objects (NEOs) into a data lake, and count their close approaches and near misses.

    Start with `neo run`. Without NASA_API_KEYS, it uses an embedded simulator of NASA's NeoWs API, which needs no
    network; its objects are made up.
    """


for command in (run, plan, totals, recompute, land, quarantine, prune, simulate):
    neo.add_command(command)


def main() -> None:
    """Entry point: run a command, and report expected errors in one line."""
    _replace_closed_streams()
    _run_plainly(lambda: neo(standalone_mode=False))


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that is closed; else the next file opened would take its number,
    and receive what other libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _run_plainly(command: Callable[[], Any]) -> None:
    before, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        command()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. Everything stored so far is kept; run the same command again to continue.", err=True)
        sys.exit(130)
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        from neo_assets.orchestration.failures import EXPECTED

        if not isinstance(error, EXPECTED):
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    finally:
        sys.unraisablehook = before


def _interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that Python dropped because it arrived in a callback, such as that of a weak reference."""
    if lost.exc_type.__name__ in _INTERRUPTS:
        # Python raises it in the main thread only, so this is that thread; the signal wakes it from any wait.
        threading.Timer(0.01, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)
