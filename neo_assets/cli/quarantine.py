"""`neo quarantine`: list unreadable records, and read them again. The query lives in `pipeline.quarantine`."""

import json

import click

from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings


@click.group()
def quarantine() -> None:
    """List records that could not be read, or read them again."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per record, with the record itself.")
def list_quarantine(as_json: bool) -> None:
    """List the records in quarantine, each with the reason."""
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
        click.echo("The quarantine is empty.", err=True)


@quarantine.command()
def replay() -> None:
    """Read page sets with quarantined records again.

    Use it after the program or the data was fixed. Nothing is fetched: the stored pages are read again, and tables and
    totals are updated.
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
    click.echo(f"{quantity(before.num_rows, 'record')} in quarantine before, {after} now.")
    if failed:
        first = next(iter(failed.values()))
        raise click.ClickException(f"{quantity(len(failed), 'page set')} could not be read again; first error: {first}")
