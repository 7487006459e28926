"""Measures from which size on a cluster computes metrics faster than DuckDB, and prints what `docs/spark.md` quotes.

    .venv/bin/python benchmarks/spark.py --remote sc://127.0.0.1:15002 --times 1 10

Each lake has 42 page sets of 1,000 NEOs, or as many times more: copies of simulated NEOs under other ids. The server
must see the system's directory for temporary files. Not a test.
"""

import argparse
import tempfile
import time

from benchmarks.copies import PAGES_PER_SET, PageSet
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.count import over_catalogue
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import SIMULATOR


def main() -> None:
    """Measure every size, on DuckDB and on the cluster."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--remote", required=True)
    options.add_argument("--times", type=int, nargs="+", default=[1, 10])
    asked = options.parse_args()
    for times in asked.times:
        pages = 42 * PAGES_PER_SET * times
        page_sets, one = page_set_keys(pages, PAGES_PER_SET), PageSet.simulated(pages)
        with tempfile.TemporaryDirectory() as directory:
            lake = Storage(directory)
            owner.claim(lake, SIMULATOR)
            for page_set in page_sets:
                one.write_without_pages(lake, page_set)
            approaches = one.approaches * len(page_sets)
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
