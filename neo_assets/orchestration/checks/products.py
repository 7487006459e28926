"""Checks of the products: whether they hold what the lake holds. Making them lives in `products`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.products import NEO_DATABASE, PUBLISHED, REPORT, UPCOMING
from neo_assets.orchestration.checks.calendar import calendar_shows_the_approaches
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.published import postgres_shows_the_snapshot
from neo_assets.orchestration.checks.report import report_shows_the_snapshot
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import one_line
from neo_assets.products.postgres import Postgres
from neo_assets.products.views import views
from neo_assets.schema.products import NEOS
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def product_checks(
    page_sets: dg.StaticPartitionsDefinition, postgres: Postgres | None = None
) -> list[dg.AssetChecksDefinition]:
    """The checks of the group `products`; with a database to publish to, that of `published` too."""
    checks = [*OF_PRODUCTS, Check(PUBLISHED, postgres_shows_the_snapshot)] if postgres else OF_PRODUCTS
    more = {PUBLISHED: (postgres,)}

    @dg.multi_asset_check(name="product_checks", specs=[check.spec() for check in checks], can_subset=True)
    def of_products(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage], metrics: dg.ResourceParam[Metrics]
    ) -> Iterator[dg.AssetCheckResult]:
        with failing_in_one_line():
            for check in checks:
                if check.key in context.selected_asset_check_keys:
                    yield check.result(
                        check.verdict(lake, metrics, page_sets.get_partition_keys(), *more.get(check.asset, ()))
                    )

    return [of_products]


def database_is_whole(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Verdict:
    """The stored database opens, has the NEOs, approaches and totals of the lake, and its views and dictionary work."""
    import duckdb  # takes 0.06 s to load, and few runs need it

    from neo_assets.products import database

    catalogue = Catalogue.whole(lake, metrics, page_sets)
    try:
        with database.opened(lake) as connection:
            if _one(connection, "SELECT snapshot_id FROM snapshot") != catalogue.state:
                return True, {"not checked": "page sets have changed since; it is made again after the totals"}
            wrong: dict[str, object] = {}
            rows = 0
            for name, stored, found in _compared(connection, catalogue, lake, metrics):
                rows += found.num_rows
                order = [(column, "ascending") for column in stored.column_names]
                if found.num_rows != stored.num_rows:
                    wrong[f"rows of {name}"] = f"{found.num_rows} instead of {stored.num_rows}"
                elif not found.sort_by(order).equals(stored.sort_by(order)):
                    wrong[name] = "other rows than in the lake"
            for name in views():
                connection.execute(f"SELECT * FROM {name} LIMIT 1").fetchall()
            undescribed = _one(
                connection,
                "SELECT count(*) FROM duckdb_columns() AS c LEFT JOIN dictionary AS d USING (table_name, column_name) "
                "WHERE NOT c.internal AND d.meaning IS NULL",
            )
            version = database.storage_version(connection)
    except duckdb.Error as error:
        return False, {"cannot be read": one_line(str(error))}
    if undescribed:
        wrong["columns that the dictionary lacks"] = undescribed
    if version != database.STORAGE_VERSION:
        wrong["storage version"] = f"{version} instead of {database.STORAGE_VERSION}"
    return not wrong, wrong or {"rows": rows, "views": len(views())}


def _compared(
    connection: "DuckDBPyConnection", catalogue: Catalogue, lake: Storage, metrics: Metrics
) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """What is compared of each table: its name, what the lake holds, what the database holds; rows in any order.

    Totals are compared whole. Of a NEO it is the id, of an approach the NEO and the time, which cost little memory.
    """
    from neo_assets.products.database import quoted

    neos = catalogue.rows(NEO_RECORDS, ["id"])
    approaches = catalogue.rows(CLOSE_APPROACHES, ["neo_id", "close_approach_at"])
    totals = ((table.name, tables.read_table(lake, table)) for table in metrics.every_total)
    for name, stored in ((NEOS.name, neos), (CLOSE_APPROACHES.name, approaches), *totals):
        columns = ", ".join(map(quoted, stored.column_names))
        found = connection.sql(f"SELECT {columns} FROM {quoted(name)}").to_arrow_table()
        yield name, stored, found.cast(stored.schema)


def _one(connection: "DuckDBPyConnection", sql: str) -> Any:
    """The only value that a query gives."""
    [(value,)] = connection.execute(sql).fetchall()
    return value


OF_PRODUCTS = (
    Check(NEO_DATABASE, database_is_whole),
    Check(UPCOMING, calendar_shows_the_approaches),
    Check(REPORT, report_shows_the_snapshot),
)
