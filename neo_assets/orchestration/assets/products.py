"""The products as assets, made from the totals: files that people take away, and published tables. Making them lives in
`products`.
"""

from datetime import UTC, datetime

import dagster as dg

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.conditions import follows_totals
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.orchestration.metadata import OWNERS, preview
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products import index
from neo_assets.products.contents import Contents
from neo_assets.products.postgres import READER, SCHEMA, Postgres
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.tables import (
    CATALOGUE_STATS,
    CLOSE_APPROACHES,
    NEO_RECORDS,
    RAW_PAGE_INDEX,
    SNAPSHOT,
)

PRODUCTS = "products"
"""Name of the group of these assets, and of the job that makes them."""

NEO_DATABASE = "neo_database"
"""Name of the asset."""

UPCOMING = "upcoming"
"""Name of the asset."""

REPORT = "report"
"""Name of the asset."""

PUBLISHED = "published"
"""Name of the asset, which there is only if NEO_POSTGRES_URL is set."""


def product_assets(
    page_sets: dg.StaticPartitionsDefinition, of: Metrics, postgres: Postgres | None = None
) -> list[dg.AssetsDefinition]:
    """The assets of the group `products`; with a database to publish to, `published` too."""
    followed = [*(total.name for total in of.every_total), SNAPSHOT.name]
    tables = [NEO_RECORDS.name, ORBITS.name, CLOSE_APPROACHES.name, LANDED_OBJECTS]
    # The pages say how old the data are, the counts whether the totals are up to date.
    read = [RAW_PAGE_INDEX.asset, CATALOGUE_STATS.name, *(counts.name for counts in of.counts)]

    @dg.asset(
        name=NEO_DATABASE,
        group_name=PRODUCTS,
        owners=OWNERS,
        kinds={"duckdb", "parquet"},
        deps=[*followed, *tables, *read],
        automation_condition=follows_totals(*followed),
    )
    def neo_database(lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]) -> dg.MaterializeResult[None]:
        """The whole catalogue in one DuckDB file, with views and a dictionary; NEOs and approaches as Parquet, too.

        Each NEO is there once. What is up to date is not made again.
        """
        from neo_assets.products import database  # DuckDB takes 0.06 s to load, and few runs need it

        with failing_in_one_line():
            before = index.read(lake)
            contents = Contents(lake, metrics, page_sets.get_partition_keys())
            made = database.make(lake, contents)
            of_totals = {table.name: rows.num_rows for table, rows in contents.totals.items()}
        new = [name for name, one in made.items() if one != before.get(name)]
        file = lake.location(layout.product(database.DATABASE))
        rows = {"neos": made[database.NEOS_FILE].rows, "close_approaches": made[database.APPROACHES_FILE].rows}
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": made[database.DATABASE].rows,
                "dagster/uri": file,
                "file": dg.MetadataValue.path(file),
                "made": ", ".join(new) or "nothing: all is up to date",
                "snapshot": preview(contents.snapshot),
                **{f"rows of {name}": number for name, number in (rows | of_totals).items()},
                **{f"bytes of {name}": one.bytes for name, one in made.items()},
                "sha256": made[database.DATABASE].sha256,
            }
        )

    def published(lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]) -> dg.MaterializeResult[None]:
        """The NEOs with their orbits, approaches, totals, views and dictionary, as tables of a PostgreSQL database.

        A new snapshot replaces the former one in one transaction, while readers read on. What is up to date is left.
        """
        assert postgres
        with failing_in_one_line():
            contents = Contents(lake, metrics, page_sets.get_partition_keys())
            made = postgres.publish(contents)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(made.rows.values()),
                "database": postgres.where,
                "schema": SCHEMA,
                "role of readers": READER if made.has_reader else "none: the user may not create roles",
                "made": "all tables" if made.is_new else "nothing: all is up to date",
                "snapshot": preview(contents.snapshot),
                **{f"rows of {name}": number for name, number in made.rows.items()},
                "seconds": made.seconds,
            }
        )

    assets = [neo_database, _upcoming(page_sets), _report()]
    if postgres:
        assets.append(
            dg.asset(
                name=PUBLISHED,
                group_name=PRODUCTS,
                owners=OWNERS,
                kinds={"postgres"},
                deps=[*followed, *tables, *read],
                automation_condition=follows_totals(*followed),
            )(published)
        )
    return assets


def _upcoming(page_sets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        name=UPCOMING,
        group_name=PRODUCTS,
        owners=OWNERS,
        kinds={"icalendar", "csv"},
        deps=[SNAPSHOT.name, NEO_RECORDS.name, CLOSE_APPROACHES.name, LANDED_OBJECTS],
        automation_condition=follows_totals(SNAPSHOT.name),
    )
    def upcoming(lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]) -> dg.MaterializeResult[None]:
        """The approaches to Earth within 0.05 au, from today (UTC) to 365 days ahead, as a calendar and as CSV.

        An event keeps its UID when its approach is revised, and is cancelled when that is withdrawn.
        """
        from neo_assets.products.calendar import CALENDAR, TABLE, write_upcoming  # 0.07 s, only here

        now = datetime.now(UTC)
        with failing_in_one_line():
            made = write_upcoming(lake, metrics, page_sets.get_partition_keys(), now)
        named = (f"{row['close_approach_at_utc']} {row['name']}" for row in made.rows.to_pylist())
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": made.rows.num_rows,
                "dagster/uri": lake.location(layout.product(CALENDAR)),
                "calendar": dg.MetadataValue.path(lake.location(layout.product(CALENDAR))),
                "table": dg.MetadataValue.path(lake.location(layout.product(TABLE))),
                "new": made.new,
                "revised": made.revised,
                "cancelled": made.cancelled,
                "next approach": next((one for one in named if one >= f"{now:%Y-%m-%dT%H:%M}"), "none"),
                "first rows": preview(made.rows),
            }
        )

    return upcoming


def _report() -> dg.AssetsDefinition:
    @dg.asset(
        name=REPORT,
        group_name=PRODUCTS,
        owners=OWNERS,
        kinds={"html", "csv"},
        deps=[NEO_DATABASE],
        automation_condition=follows_totals(NEO_DATABASE),
    )
    def report(lake: dg.ResourceParam[Storage]) -> dg.MaterializeResult[None]:
        """The catalogue on one HTML page: charts, tables, their SQL; and every NEO with its closest approach as CSV.

        What is up to date is not made again. As the page shows what comes next, it is made anew each day (UTC).
        """
        from neo_assets.products.report import PAGE, TABLE, facts, make  # 0.1 s, only here

        with failing_in_one_line():
            before = index.read(lake)
            made = make(lake, datetime.now(UTC).date())
            page = lake.read(layout.product(PAGE)).to_pybytes().decode()
        file = lake.location(layout.product(PAGE))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": made[TABLE].rows,
                "dagster/uri": file,
                "page": dg.MetadataValue.path(file),
                "table": dg.MetadataValue.path(lake.location(layout.product(TABLE))),
                "made": ", ".join(name for name, one in made.items() if one != before.get(name))
                or "nothing: all is up to date",
                "verdict": facts(page)["verdict"],
                "charts": made[PAGE].rows,
                **{f"bytes of {name}": one.bytes for name, one in made.items()},
                "sha256": made[PAGE].sha256,
            }
        )

    return report
