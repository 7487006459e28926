"""`neo prune`: show and delete what page sets of former settings left in the tables. Finding it lives in
`pipeline.retire`.
"""

import sys

import click

from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings


@click.command()
@click.option("--yes", is_flag=True, help="Delete without asking.")
def prune(yes: bool) -> None:
    """Show and delete files of page sets no longer asked for.

    They remain after a change of NEO_PAGES or NEO_PAGES_PER_SET. Files with the same pages as those in use are kept
    until the page sets in use are complete; then `neo run` deletes them by itself. Files of other pages
    are deleted by this command only. Raw pages are never deleted.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.pipeline.retire import are_complete, delete, left_over

    settings = Settings.load()
    lake, tables = Storage(settings.lake), Metrics.of(settings).of_a_page_set
    found = left_over(lake, settings.page_sets, tables)
    if not found:
        click.echo(f"Nothing to delete: the tables in {lake.root} hold only page sets that the settings ask for.")
        return
    for one in found:
        click.echo(f"page set {one.page_set}: {quantity(len(one.files), 'file')}, {one.bytes:,} bytes")
    if not are_complete(lake, settings.page_sets, tables):
        raise click.ClickException(
            "these files are kept until the page sets that the settings ask for are complete: run `neo run` first"
        )
    if not yes and not sys.stdin.isatty():
        click.echo("Nothing was deleted; `neo prune --yes` deletes these files.")
        return
    if not yes and not click.confirm("Delete these files?"):
        return
    delete(lake, found)
    click.echo(f"Deleted {quantity(len(found), 'page set')}.")
