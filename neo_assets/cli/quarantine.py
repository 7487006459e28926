"""`neo quarantine`: records that could not be read. What is in quarantine lives in `pipeline.quarantine`."""

import json

import click

from neo_assets.pipeline.text import counted
from neo_assets.settings import Settings


@click.group()
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
