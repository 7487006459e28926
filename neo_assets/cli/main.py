"""The `neo` command: a thin front to what plain `dagster` commands do too. What is computed, and how, stands
elsewhere.
"""

import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from neo_assets.settings import ALLOWED, Settings, SettingsError

if TYPE_CHECKING:
    from neo_assets.pipeline.totals import Summary
from neo_assets.pipeline.text import counted, some

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


@neo.command()
@click.option("--heal", is_flag=True, help="Take pages again that do not fit the others, as `neo plan` lists them.")
def run(heal: bool) -> None:
    """Gather every page set, compute everything, print the totals.

    What is done already is kept: pages younger than NEO_RAW_MAX_AGE_HOURS are not asked for again, and page sets whose
    tables are up to date with them are skipped. Progress goes to standard error, the totals to standard output.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        failed = runner.refresh()
        runner.total()
        if heal and not failed:
            failed = runner.heal()
        summary = runner.summary()
    _print_summary(summary)
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(
            f"{counted(len(failed), 'page set')} failed, so the totals lack them or have them as they were before"
            f"{', and nothing more is healed' if heal else ''}: {some(list(failed))}; the first one: {first}"
        )


@neo.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def plan(as_json: bool) -> None:
    """Print what `neo run` would fetch and what it costs.

    Nothing is fetched. Says also whether the pages in the lake fit together, and which ones `neo run --heal` would take
    again.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.plan import make_plan
    from neo_assets.sources.neows.source import NeoWs

    settings = Settings.load()
    plan = make_plan(settings, Storage(settings.lake), NeoWs(settings))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(plan), default=str))
        return
    _print_rows(
        {
            "Source": plan.source,
            "Pages": f"{counted(plan.pages, 'page')} in {counted(plan.page_sets, 'page set')}",
            "Reused": f"{counted(plan.pages_reused, 'page')}, younger than {settings.raw_max_age_hours:g} hours",
            "To fetch": f"{counted(plan.pages_to_fetch, 'page')}, one request each",
            "Done": f"not before {plan.done_at:%Y-%m-%d %H:%M} UTC" if plan.takes_s > 1 else "at once, by the budget",
            "Snapshot": ", ".join([plan.verdict, *plan.reasons]),
            "To heal": f"{counted(len(plan.pages_to_heal), 'page')}: {some(plan.pages_to_heal, most=20)}"
            if plan.pages_to_heal
            else "nothing",
        }
    )


@neo.command()
def land() -> None:
    """Take in the files in the lake's landing zone.

    Browse pages (.json) and objects, one a line (.ndjson), plain or compressed (.gz, .zst), are stored and counted,
    then moved to the archive; what cannot be read is moved to quarantine/landing with the reason beside it. Hidden
    files are left.
    """
    settings = Settings.load()
    from neo_assets.cli.runner import Runner

    with Runner(settings) as runner:
        report = runner.land()
    for line in report.lines or [f"Nothing to do: no file waits in {settings.lake}/landing."]:
        click.echo(line)
    if wrong := [*report.set_aside, *report.failed]:
        raise click.ClickException(f"not taken in, or not computed: {', '.join(wrong)}")


@neo.group()
def quarantine() -> None:
    """Records that could not be read: see them, read them again."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, the records among them.")
def list_quarantine(as_json: bool) -> None:
    """List what is in quarantine."""
    from neo_assets.pipeline.quarantine import quarantined

    rows = quarantined(Settings.load()).to_pylist()
    for row in rows:
        click.echo(
            json.dumps(row)
            if as_json
            else ", ".join(
                [
                    *([row["file"]] if row["file"] else []),
                    f"page set {row['page_set']}, page {row['page']}, "
                    f"near_earth_objects[{row['index']}]: {row['reason']}",
                ]
            )
        )
    if not rows:
        click.echo("Nothing is in quarantine.", err=True)


@quarantine.command()
def replay() -> None:
    """Read the page sets with quarantined records again.

    For after a fix, of the program or of the data; nothing is fetched.
    """
    from neo_assets.cli.runner import Runner
    from neo_assets.pipeline.quarantine import quarantined

    settings = Settings.load()
    before = quarantined(settings)
    keys = sorted(set(before["page_set"].to_pylist()))
    with Runner(settings) as runner:
        failed = runner.recompute(keys)
        if keys:
            runner.total()
    after = quarantined(settings).num_rows
    click.echo(f"{counted(before.num_rows, 'record')} in quarantine before, {after} now.")
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(
            f"{counted(len(failed), 'page set')} could not be read again, the first one: {first}"
        )


@neo.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def totals(as_json: bool) -> None:
    """Print the totals as they stand in the lake.

    Nothing is fetched or computed.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.totals import summarize
    from neo_assets.schema.page_sets import page_set_keys

    settings = Settings.load()
    keys = page_set_keys(settings.pages, settings.pages_per_set)
    _print_summary(summarize(Storage(settings.lake), keys), as_json)


@neo.command()
@click.option("--port", default=8900, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--neos", default=None, type=click.IntRange(min=1), help="Size of the catalogue; about the real one's if not given."
)
@click.option("--seed", default=None, type=int, help="Another seed, another catalogue.")
@click.option(
    "--requests-per-hour", default=None, type=click.IntRange(min=1), help="Limit each key; no limit if not given."
)
@click.option(
    "--hour",
    "hour_s",
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the limit's rolling hour.",
)
@click.option("--keys", default=None, metavar="KEY,...", help="The keys it accepts; any if not given.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Something that goes wrong; may be repeated.")
@click.option("--drift", "drifts", multiple=True, metavar="DRIFT", help="A change of the catalogue; may be repeated.")
def simulate(
    port: int, host: str, keys: str | None, faults: tuple[str, ...], drifts: tuple[str, ...], **options: Any
) -> None:
    """Serve a simulated NeoWs API over HTTP.

    Use it from another shell with NEOWS_BASE_URL and NASA_API_KEYS as printed.

    A FAULT is KIND[=VALUE][@WHEN]; without WHEN it strikes always. `slow` adds to others, of which the first given
    counts. The same seed strikes the same pages at the same attempts.

    \b
    rate-limit[=SECONDS]   429 with Retry-After, 60 if not given
    forbidden[=CODE]       403 with API_KEY_DISABLED, or _UNAUTHORIZED, _UNVERIFIED, _INVALID
    not-found              404
    error[=STATUS]         500, or 502, 504
    outage                 503 with Heroku's HTML
    html                   200 with HTML
    empty                  200 without a body
    truncated              200 with a part of the body
    cut                    the connection ends in the middle of the body
    wrong-page             200 with the page after the one asked for
    garbage-record         200 with a value in one object that cannot be read
    slow=200ms             an answer so much later; slow=100-300ms for somewhere between
    timeout                no answer until the client gives up
    reset                  the connection is reset

    \b
    @5%                    5% of the requests
    @50-60                 from the 50th to the 60th request; @50- for all from there on
    @page=7                whenever page 7 is asked for; @page=7x2 for the first 2 times
    @key=abc               whatever this key asks for

    A DRIFT is KIND[=VALUE]@WHEN, where WHEN is the running number of a request (@400), or the time since the first one
    (@30s).

    \b
    grow=30                30 objects come to the end
    insert=7               7 objects come before all others
    reorder                all objects change places
    number=5%              5% of the provisional objects are numbered, and change their ids

    \b
    neo simulate --fault slow=100ms --fault error@5% --fault outage@50-60 --fault truncated@page=7
    neo simulate --drift insert=7@100 --drift reorder@400 --keys one,two --requests-per-hour 100 --hour 60
    """
    from neo_assets.sources.simulator.app import create_app, serve
    from neo_assets.sources.simulator.catalogue import Catalogue
    from neo_assets.sources.simulator.profile import Fault, PlannedDrift, ProfileError

    catalogue = Catalogue(**{name: options[name] for name in ("neos", "seed") if options[name] is not None})
    accepted = [key.strip() for key in keys.split(",") if key.strip()] if keys is not None else None

    def planned(option: str, read: Callable[[str], Any], texts: tuple[str, ...]) -> list[Any]:
        try:
            return [read(text) for text in texts]
        except ProfileError as error:
            raise click.ClickException(f"{option} {error}") from None

    app = create_app(
        catalogue,
        keys=accepted,
        requests_per_hour=options["requests_per_hour"],
        hour_s=options["hour_s"],
        faults=planned("--fault", Fault.parse, faults),
        drifts=planned("--drift", PlannedDrift.parse, drifts),
    )

    def announce(url: str) -> None:
        click.echo(f"A simulated NeoWs of {catalogue.neos:,} NEOs answers at {url}; stop it with Ctrl-C. Use it with")
        click.echo(f"  NEOWS_BASE_URL={url} NASA_API_KEYS={','.join(accepted or ['simulated'])} neo run")

    try:
        serve(app, host, port, announce=announce)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror or error}; give another --port"
        ) from None


def _print_summary(summary: "Summary", as_json: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary)))
    else:
        simulated = "  (made-up objects: set NASA_API_KEYS for NASA's)" if summary.source == "simulator" else ""
        _print_rows(
            {
                "Source": summary.source + simulated,
                "Pages": f"{summary.pages:,} in {summary.page_sets:,} of {summary.page_sets_expected:,} page sets"
                f"  (the catalogue has {summary.catalogue_pages:,})",
                "NEOs": f"{summary.neos:,}",
                "Near misses": f"{summary.near_misses:,} to all bodies, {summary.near_misses_earth:,} to Earth"
                "  (nearer than 0.2 au)",
                "Approaches": f"{summary.approaches:,} to all bodies, {summary.approaches_earth:,} to Earth",
                "Snapshot": ", ".join([summary.verdict, *summary.reasons]),
                "Years": f"{summary.years}"
                + (f"  ({summary.first_year} to {summary.last_year})" if summary.years else ""),
                "Files": summary.lake,
                "Dagster's UI": "make dev, or: dagster dev",
            }
        )
    if not summary.up_to_date:
        click.echo(
            "These totals are of other page sets, or of what they held before; `neo run` computes them again.", err=True
        )


def _print_rows(rows: Mapping[str, str]) -> None:
    for name, value in rows.items():
        click.echo(f"{name:<14}{value}")


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
