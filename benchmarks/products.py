"""Measures how long the products take, and how much memory, and prints what `docs/speed.md` quotes. Not a test.

    .venv/bin/python benchmarks/products.py                42 page sets of 50 pages, about the whole catalogue
    .venv/bin/python benchmarks/products.py --pages 100    fewer pages

The lake is filled from the simulator first, which takes a few minutes. Then each run makes the products anew, and
computes the metrics over the whole catalogue that belong to them, in a process of its own.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import clean_environment


def fill(directory: Path, keys: list[str]) -> None:
    """Store simulated pages, and compute all tables and totals."""
    from neo_assets.lake import owner
    from neo_assets.lake.storage import Storage
    from neo_assets.schema.page_sets import pages_of
    from neo_assets.schema.pages import Page
    from neo_assets.sources.simulator.catalogue import PAGE_SIZE, Catalogue, to_json
    from neo_assets_tests.pipeline.by_hand import gather, total

    lake, catalogue = Storage(str(directory / "lake")), Catalogue()
    owner.claim(lake, "simulator")
    for key in keys:
        bodies = ((number, to_json(catalogue.page(number))) for number in pages_of(key))
        pages = (
            Page(number, body, datetime.now(UTC), "simulator", PAGE_SIZE, catalogue.neos) for number, body in bodies
        )
        gather(lake, key, pages)
    total(lake, keys)


def once(directory: Path, keys: list[str]) -> None:
    """Make the products, see that nothing is left to do, and open the database; print the figures as JSON."""
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.duckdb import DuckDB
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products import database, report
    from neo_assets.products.calendar import write_upcoming
    from neo_assets.products.contents import Contents

    lake, metrics = Storage(str(directory / "lake")), Metrics(DuckDB())
    clock = [time.perf_counter()]
    made = database.make(lake, Contents(lake, metrics, keys))
    clock.append(time.perf_counter())
    of_database_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    today = datetime.now(UTC).date()
    made |= report.make(lake, today)
    clock.append(time.perf_counter())
    upcoming = write_upcoming(lake, metrics, keys, datetime.now(UTC))
    clock.append(time.perf_counter())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    left = [*database.to_make(lake, Contents(lake, metrics, keys)), *report.to_make(lake, today)]
    clock.append(time.perf_counter())
    with database.opened(lake) as connection:
        connection.execute("SELECT * FROM snapshot").fetchall()
        clock.append(time.perf_counter())
    found = {
        "seconds": [after - before for before, after in pairwise(clock)],
        "of_database_mb": of_database_mb,
        "peak_mb": peak_mb,
        "left": left,
        "mb": {name: one.bytes / 1e6 for name, one in made.items()},
        "approaches": upcoming.rows.num_rows,
        "rows": made[database.DATABASE].rows,
    }
    print(json.dumps(found))


def forget(directory: Path) -> None:
    """Delete the products, and the metrics that are computed when they are made."""
    from neo_assets.lake import layout
    from neo_assets.pipeline.metrics.duckdb import DuckDB
    from neo_assets.pipeline.metrics.engine import Metrics

    roots = [layout.PRODUCTS, *(layout.table_root(metric.total) for metric in Metrics(DuckDB()).over_catalogue)]
    for root in roots:
        shutil.rmtree(directory / "lake" / root, ignore_errors=True)


def main() -> None:
    """Fill a lake, then make its products several times."""
    from neo_assets.schema.page_sets import page_set_keys

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2_100, help="(default: %(default)s)")
    parser.add_argument("--pages-per-set", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    keys = page_set_keys(given.pages, given.pages_per_set)
    if given.once:
        once(given.once, keys)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        fill(directory, keys)
        command = [sys.executable, __file__, "--once", name]
        command += ["--pages", str(given.pages), "--pages-per-set", str(given.pages_per_set)]
        found = []
        for _ in range(given.runs):
            forget(directory)
            ended = subprocess.run(
                command, check=True, capture_output=True, text=True, env=clean_environment(directory)
            )
            found.append(json.loads(ended.stdout))
    make, report, calendar, check, opening = (
        statistics.median(one["seconds"][part] for one in found) for part in range(5)
    )
    of_database_mb, peak_mb = (max(one[name] for one in found) for name in ("of_database_mb", "peak_mb"))
    assert not any(one["left"] for one in found)
    sizes = ", ".join(f"{file} {mb:.1f} MB" for file, mb in found[0]["mb"].items())
    print(
        f"products, {given.pages} pages in {len(keys)} sets: {found[0]['rows']:,} rows made in {make:.1f} s, "
        f"peak memory {of_database_mb:.0f} MB; the report in {report:.1f} s, "
        f"the calendar of {found[0]['approaches']} approaches in {calendar:.1f} s, then {peak_mb:.0f} MB; "
        f"again, with nothing to do: {check:.2f} s; "
        f"opened in {opening:.2f} s; {sizes}"
    )


if __name__ == "__main__":
    main()
