"""The entry point of `neo`: the list of its commands, and errors as one line. Each command is a module of its own."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

from neo_assets.cli.land import land
from neo_assets.cli.plan import plan
from neo_assets.cli.quarantine import quarantine
from neo_assets.cli.run import run
from neo_assets.cli.simulate import simulate
from neo_assets.cli.totals import totals
from neo_assets.settings import ALLOWED, SettingsError

# Dagster and pyarrow are imported inside the commands, so that `neo --help` answers at once.

_EPILOG = "\b\nSettings are environment variables, or lines of a .env file in the working directory:\n" + "\n".join(
    f"  {name:<24}{allowed}" for name, allowed in ALLOWED.items()
)

_INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
"""What Ctrl-C raises, within Dagster's steps and elsewhere."""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="neo_assets")
def neo() -> None:
    """NASA's near-Earth objects (NEOs) gathered into a data lake.

    Without NASA_API_KEYS everything runs on an embedded simulator of NASA's NeoWs API; its objects are made up.
    """


for command in (run, plan, land, quarantine, totals, simulate):
    neo.add_command(command)


def main() -> None:
    """Entry point: runs a command, and tells what goes wrong in one line."""
    _run_plainly(lambda: neo(standalone_mode=False))


def _run_plainly(command: Callable[[], Any]) -> None:
    before, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        command()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. What was stored is kept; the same command goes on from there.", err=True)
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
    """Repeat a Ctrl-C that Python dropped, as it struck in the callback of a weak reference or the like."""
    if lost.exc_type.__name__ in _INTERRUPTS:
        # It strikes the main thread only, so it was this one; a signal to it wakes it where it waits.
        threading.Timer(0.01, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(lost)
