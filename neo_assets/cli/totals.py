"""`neo totals`: print the totals in the lake. Reading them lives in `pipeline.totals`."""

import click

from neo_assets.cli.printing import print_totals
from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def totals(as_json: bool) -> None:
    """Print the totals stored in the lake.

    Nothing is fetched or computed: `neo run` does that.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.pipeline.staleness import age, is_too_old, oldest_page
    from neo_assets.pipeline.totals import read_totals

    settings = Settings.load()
    lake = Storage(settings.lake)
    print_totals(read_totals(lake, Metrics.of(settings), settings.page_sets), as_json)
    oldest = oldest_page(lake, settings.page_sets)
    if oldest and is_too_old(oldest, settings.raw_max_age_hours):
        click.echo(
            f"The oldest page is too old: page {oldest.page} arrived {quantity(age(oldest).days, 'day')} ago, on "
            f"{oldest.arrived_at:%Y-%m-%d}. Run `neo run` to fetch it again.",
            err=True,
        )
