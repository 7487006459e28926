"""`neo totals`: print the totals in the lake. Reading them lives in `pipeline.totals`."""

import click

from neo_assets.cli.printing import print_totals
from neo_assets.settings import Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def totals(as_json: bool) -> None:
    """Print the totals stored in the lake.

    Nothing is fetched or computed: `neo run` does that.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import ENGINES
    from neo_assets.pipeline.totals import read_totals

    settings = Settings.load()
    print_totals(read_totals(Storage(settings.lake), ENGINES[settings.engine](), settings.page_sets), as_json)
