"""`neo report`: make the report if it is not up to date, and print where it is. What is in it is decided in
`products.report`.
"""

import click

from neo_assets.pipeline.text import quantity


@click.command()
def report() -> None:
    """Make the report: the catalogue on one page, with charts.

    It is one HTML file, which a browser opens without a network: whether the snapshot is consistent and how old it is,
    what passes Earth next, the closest approaches, and more, each with its table and its SQL, which `neo sql` runs.
    Beside it lies report.csv, every NEO with its closest approach. They are made again only if the data have changed;
    the page, which shows what comes next, also on another day (UTC).

    The path of the page goes to standard output, all else to standard error.

    \b
    Examples:
      neo report
      xdg-open "$(neo report)"
      cp "$(neo report)" /srv/www/neo.html
    """
    from datetime import UTC, datetime

    from neo_assets.cli.database import SIMULATED, lake_with_database
    from neo_assets.lake import layout
    from neo_assets.products import report as products
    from neo_assets.schema.pages import SIMULATOR

    lake, today = lake_with_database(), datetime.now(UTC).date()
    if products.to_make(lake, today):
        click.echo(f"Making {lake.location(layout.product(products.PAGE))} ...", err=True)
    page, table = (products.make(lake, today)[name] for name in (products.PAGE, products.TABLE))
    click.echo(lake.location(layout.product(products.PAGE)))
    click.echo(
        f"{quantity(page.rows, 'chart')}, {page.bytes / 1e3:,.0f} kB. Beside it, {products.TABLE}: "
        f"{quantity(table.rows, 'NEO')}, {table.bytes / 1e3:,.0f} kB.",
        err=True,
    )
    if page.source == SIMULATOR:
        click.echo(SIMULATED, err=True)
