"""The check of the published tables. Publishing them lives in `products.postgres`."""

from collections.abc import Sequence

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products.contents import Contents, NotOneState
from neo_assets.products.postgres import SCHEMA, Postgres, PostgresError
from neo_assets.products.views import views
from neo_assets.schema.products import NEOS
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS


def postgres_shows_the_snapshot(
    lake: Storage, metrics: Metrics, page_sets: Sequence[str], postgres: Postgres
) -> Verdict:
    """PostgreSQL holds the lake's snapshot, every NEO, approach and total; views and comments are there."""
    try:
        contents = Contents(lake, metrics, page_sets)
    except NotOneState:
        return True, {"not checked": "page sets have changed since; it is published again after the totals"}
    catalogue = Catalogue.whole(lake, metrics, page_sets)
    wanted: dict[str, object] = {
        "snapshot": contents.snapshot["snapshot_id"][0].as_py(),
        f"rows of {NEOS.name}": catalogue.rows(NEO_RECORDS, ["id"]).num_rows,
        f"rows of {CLOSE_APPROACHES.name}": catalogue.rows(CLOSE_APPROACHES, ["neo_id"]).num_rows,
        **{f"rows of {table.name}": tables.read_table(lake, table).num_rows for table in metrics.every_total},
        "columns without a comment": 0,
    }
    counted = [f'(SELECT count(*) FROM {SCHEMA}."{name.removeprefix("rows of ")}")' for name in [*wanted][1:-1]]
    uncommented = (
        "(SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        f"WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 "
        "AND col_description(c.oid, a.attnum) IS NULL)"
    )
    try:
        with postgres.reading() as cursor:
            [row] = cursor.execute(
                f"SELECT (SELECT snapshot_id FROM {SCHEMA}.snapshot), {', '.join(counted)}, {uncommented}"
            ).fetchall()
            for name in views():
                cursor.execute(f'SELECT * FROM {SCHEMA}."{name}" LIMIT 1').fetchall()
    except PostgresError as error:
        return False, {"cannot be read": str(error)}
    wrong: dict[str, object] = {
        name: f"{found} instead of {value}"
        for (name, value), found in zip(wanted.items(), row, strict=True)
        if found != value
    }
    return not wrong, wrong or {"rows": sum(row[1:-1]), "views": len(views()), "snapshot": row[0]}
