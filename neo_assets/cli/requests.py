"""`neo requests`: the reports that clients of `neo serve` have ordered, and making them without Dagster's daemon. The
jobs that do so live in `orchestration.requests`.
"""

import contextlib
import json
from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from neo_assets.products.requests import Request  # imports SQLAlchemy, which `neo --help` does without


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per request, as the API answers it.")
@click.pass_context
def requests(context: click.Context, as_json: bool) -> None:
    """List or make the reports that clients ordered.

    They were ordered from `neo serve`. Without a command, they are listed in order of arrival. Dagster's sensor
    `requests` has them made while `make dev` or the daemon is running.
    """
    if context.invoked_subcommand:
        return
    from neo_assets.lake.storage import Storage
    from neo_assets.products.requests import Requests

    settings = Settings.load()
    with Requests.of(settings, Storage(settings.lake)) as kept:
        found = kept.those()
    for one in found:
        click.echo(json.dumps(one.record()) if as_json else _line(one))
    if not found:
        click.echo(f"No report has been ordered: there is no request in {kept.where}.", err=True)


@requests.command()
def work() -> None:
    """Make the reports that wait, in order of arrival.

    What fails is tried once more; then the request has failed. A request whose process died is made again, too.
    """
    from neo_assets.cli.jobs import Jobs
    from neo_assets.lake.storage import Storage
    from neo_assets.orchestration.failures import EXPECTED
    from neo_assets.products.requests import Requests, Status
    from neo_assets.sources.neows.source import NeoWs

    settings = Settings.load()
    lake, failed, worked = Storage(settings.lake), dict[str, Exception](), False
    with (
        Requests.of(settings, lake) as kept,
        NeoWs(settings) as neows,
        contextlib.closing(Jobs(settings, lake, neows)) as jobs,
    ):
        if kept.those(Status.PROCESSING, most=1):
            jobs.give_back_lost(kept)
        while waiting := kept.those(Status.QUEUED, most=1):
            worked = True
            try:
                jobs.make_report(waiting[0])
            except EXPECTED as error:
                if kept.get(waiting[0].job_id) == waiting[0]:  # it would be tried for ever
                    raise
                failed[waiting[0].job_id] = error
            else:
                failed.pop(waiting[0].job_id, None)
            if (now := kept.get(waiting[0].job_id)) and now.status != Status.QUEUED:
                click.echo(_line(now))
    if not worked:
        click.echo(f"No request waits in {kept.where}.", err=True)
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(f"{quantity(len(failed), 'report')} could not be made. First error: {first}")


@requests.command()
def collect() -> None:
    """Move the reports that were made to reports/ in the lake."""
    from neo_assets.cli.jobs import Jobs
    from neo_assets.lake.storage import Storage
    from neo_assets.products.requests import Requests, Status
    from neo_assets.sources.neows.source import NeoWs

    settings = Settings.load()
    lake = Storage(settings.lake)
    with Requests.of(settings, lake) as kept:
        made = [one.job_id for one in kept.those(Status.SUCCESS)]
        if not made:
            click.echo("No report is to be collected.", err=True)
            return
        with NeoWs(settings) as neows, contextlib.closing(Jobs(settings, lake, neows)) as jobs:
            jobs.collect_reports()
        for one in filter(None, map(kept.get, made)):
            click.echo(_line(one))


def _line(one: "Request") -> str:
    """A request in one line."""
    order = one.order
    asked = " ".join([order.table, *(f"{name}={value}" for name, value in order.parameters.items()), order.format])
    ending = one.reason if one.status in ("queued", "failed") else one.report_file_path
    return (
        f"{one.job_id}  {one.created_at:%Y-%m-%d %H:%M:%S}  {one.status:<10}  {asked}{f': {ending}' if ending else ''}"
    )
