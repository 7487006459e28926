"""Measures from which size on a cluster computes metrics faster than DuckDB, and prints what `docs/spark.md` quotes.

    .venv/bin/python benchmarks/spark.py --remote sc://127.0.0.1:15002 --times 1 10

Each lake has 42 page sets of 1,000 NEOs, or as many times more: copies of simulated NEOs under other ids. The server
must see the system's directory for temporary files. Not a test.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.count import over_catalogue
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import SIMULATOR, Page
from neo_assets.schema.tables import TABLES
from neo_assets.sources.neows.parse import Parsed, parse
from neo_assets.sources.simulator.catalogue import PAGE_SIZE, Catalogue, to_json

PAGES_PER_SET = 50
NAMES = {"id", "neo_id", "neo_reference_id", "principal_designation"}
"""Columns that tell NEOs apart."""


def simulated() -> Parsed:
    """The tables of one page set."""
    catalogue, now = Catalogue(), datetime.now(UTC)
    bodies = (to_json(catalogue.page(number)) for number in range(PAGES_PER_SET))
    return parse(Page(number, body, now, SIMULATOR, PAGE_SIZE, catalogue.neos) for number, body in enumerate(bodies))


def fill(lake: Storage, page_sets: list[str], parsed: Parsed) -> int:
    """Write the tables of each page set; returns the number of close approaches."""
    owner.claim(lake, SIMULATOR)
    for page_set in page_sets:
        for name in ("neo_records", "orbits", "close_approaches", "neo_sightings"):
            rows: pa.Table = getattr(parsed, name)
            for column in NAMES & set(rows.schema.names):
                index = rows.schema.get_field_index(column)
                ids = pc.binary_join_element_wise(rows[column], page_set, "-")
                rows = rows.set_column(index, rows.schema.field(index), ids)
            tables.write_table(lake, TABLES[name], tables.with_origin(rows, page_set), page_set)
    return int(parsed.close_approaches.num_rows) * len(page_sets)


def main() -> None:
    """Measure every size, on DuckDB and on the cluster."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--remote", required=True)
    options.add_argument("--times", type=int, nargs="+", default=[1, 10])
    asked = options.parse_args()
    parsed = simulated()
    for times in asked.times:
        page_sets = page_set_keys(42 * PAGES_PER_SET * times, PAGES_PER_SET)
        with tempfile.TemporaryDirectory() as directory:
            lake = Storage(directory)
            approaches = fill(lake, page_sets, parsed)
            found = {}
            for name, engine in (
                ("DuckDB", DuckDB()),
                ("cluster", Spark(asked.remote)),
                ("cluster again", Spark(asked.remote)),
            ):
                metrics, start, cpu = Metrics(engine), time.perf_counter(), time.process_time()
                found[name] = list(over_catalogue(metrics, lake, metrics.over_catalogue, page_sets))
                took, here = time.perf_counter() - start, time.process_time() - cpu
                print(
                    f"{times}x, {approaches:,} approaches, {name}: {took:.1f} s, {here:.1f} s of CPU here", flush=True
                )
            assert found["DuckDB"] == found["cluster"] == found["cluster again"]


if __name__ == "__main__":
    main()
