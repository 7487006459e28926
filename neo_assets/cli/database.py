"""Opens the database for the commands that read it, such as `neo sql`; makes it first if it is not up to date. Making
it lives in `products.database`.
"""

import contextlib
from collections.abc import Iterator

import click
import duckdb

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products import database, index
from neo_assets.products.contents import Contents
from neo_assets.settings import Settings

SIMULATED = "The data are simulated: the objects are made up. Set NASA_API_KEYS for NASA's."


def lake_with_database() -> Storage:
    """The lake, with its database up to date.

    If it cannot be brought up to date, such as while page sets are gathered, the stored one is left, and standard error
    says so.

    Raises:
        LakeError: there is no database, and none can be made.
    """
    settings = Settings.load()
    lake = Storage(settings.lake)
    try:
        contents = Contents(lake, Metrics.of(settings), settings.page_sets)
        if database.to_make(lake, contents):
            click.echo(f"Making {lake.location(layout.product(database.DATABASE))} ...", err=True)
            database.make(lake, contents)
    except LakeError as error:
        made = index.read(lake).get(database.DATABASE)
        if not made:
            raise
        click.echo(
            f"This is the database of {made.made_at:%Y-%m-%d %H:%M} UTC; no newer one can be made: {error}", err=True
        )
    return lake


@contextlib.contextmanager
def opened_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the lake's database, as `lake_with_database` leaves it, that cannot write.

    Says on standard error if the data are simulated.

    Raises:
        LakeError: there is no database, and none can be made.
    """
    with database.opened(lake_with_database()) as connection:
        if connection.execute("SELECT is_simulated FROM snapshot").fetchall() == [(True,)]:
            click.echo(SIMULATED, err=True)
        yield connection
