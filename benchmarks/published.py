"""Measures how long it takes to publish the catalogue to PostgreSQL, and prints what `docs/postgres.md` quotes. Not a
test.

    .venv/bin/python benchmarks/published.py                42 page sets of 50 pages, about the whole catalogue
    .venv/bin/python benchmarks/published.py --pages 100    fewer pages

The server runs on this machine, and waits for the disk as it does by default. Each run publishes to a database of its
own, in which the tables are made, too.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.products import fill


def main() -> None:
    """Fill a lake, then publish it several times."""
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.duckdb import DuckDB
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products.contents import Contents
    from neo_assets.products.postgres import Postgres
    from neo_assets.schema.page_sets import page_set_keys
    from neo_assets_tests.postgres_server import postgres_programs, serving_postgres

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2_100, help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="(default: %(default)s)")
    given = parser.parse_args()
    programs = postgres_programs()
    if not programs:
        parser.error("PostgreSQL's programs are not installed: on Debian, `apt install postgresql`")
    keys = page_set_keys(given.pages, 50)
    with tempfile.TemporaryDirectory() as directory, serving_postgres(programs, is_durable=True) as server:
        fill(Path(directory), keys)
        lake, metrics = Storage(f"{directory}/lake"), Metrics(DuckDB())
        found = [Postgres(server.new_database()).publish(Contents(lake, metrics, keys)) for _ in range(given.runs)]
    seconds = [one.seconds for one in found]
    rows = found[0].rows
    print(
        f"published {rows['neos']:,} NEOs and {rows['close_approaches']:,} approaches "
        f"in {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}, {given.runs} runs)"
    )


if __name__ == "__main__":
    main()
