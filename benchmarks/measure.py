"""Measures performance on this machine and prints the figures that the README quotes. Not a test: nothing is asserted.

    .venv/bin/python benchmarks/measure.py            all parts
    .venv/bin/python benchmarks/measure.py compute    stored raw pages to all tables: MB of JSON a second, peak memory
    .venv/bin/python benchmarks/measure.py gather     `neo run` against a simulator in another process, unlimited
    .venv/bin/python benchmarks/measure.py pace       400 pages with a budget and a latency, against the minimum time
    .venv/bin/python benchmarks/measure.py s3         `neo run` on S3 relative to disk, and its S3 requests
    .venv/bin/python benchmarks/measure.py first      `neo run` of 200 NEOs on the embedded simulator
    .venv/bin/python benchmarks/measure.py import     `import neo_assets.definitions` relative to `import dagster`
    .venv/bin/python benchmarks/measure.py s3 first   several parts, in this order

Pages that come over HTTP are rendered before the clock starts. Files go to a temporary directory, which is removed.
"""

import argparse
import asyncio
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import BIN, KEY, LIFTED, clean_environment, serving


def timed(command: list[str], runs: int, directory: Path, **settings: object) -> list[float]:
    """Wall-clock seconds of each run of a command, each in an empty directory."""
    seconds = []
    for number in range(runs):
        home = directory / f"run-{number}"
        home.mkdir(parents=True)
        start = time.perf_counter()
        subprocess.run(command, cwd=home, env=clean_environment(home, **settings), check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
        shutil.rmtree(home)
    return seconds


def report(what: str, seconds: list[float]) -> None:
    """Print the median of some runs, with their range."""
    print(f"{what}: {statistics.median(seconds):.2f} s (of {len(seconds)}: {min(seconds):.2f} to {max(seconds):.2f})")


def compute(directory: Path, pages: int, pages_per_set: int) -> None:
    """From stored raw pages to all tables and totals, without Dagster. Each run is a process of its own, to measure its
    peak memory.
    """
    command = [sys.executable, __file__, "compute-only", "--pages", str(pages), "--pages-per-set", str(pages_per_set)]
    store_pages(directory, pages)
    for _ in range(3):
        subprocess.run([*command, "--directory", str(directory)], check=True, env=clean_environment(directory))


def store_pages(directory: Path, pages: int) -> None:
    """Store simulated pages in a lake."""
    from neo_assets.lake.raw_pages import write_page
    from neo_assets.lake.storage import Storage
    from neo_assets.schema.pages import Page
    from neo_assets.sources.simulator.catalogue import Catalogue, to_json

    storage, catalogue = Storage(str(directory / "lake")), Catalogue()
    for number in range(pages):
        body = to_json(catalogue.page(number))
        write_page(storage, Page(number, body, datetime.now(UTC), "simulator", 20, catalogue.neos))


def compute_only(directory: Path, pages: int, pages_per_set: int) -> None:
    """The part of `compute` that is measured."""
    from neo_assets.lake.raw_pages import read_pages as stored_pages
    from neo_assets.lake.storage import Storage
    from neo_assets.lake.tables import write_table
    from neo_assets.pipeline.count import count, total
    from neo_assets.pipeline.metrics.duckdb import DuckDB
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.pipeline.origins import FROM_JSON
    from neo_assets.pipeline.read import read_pages
    from neo_assets.schema.page_sets import page_set_keys, pages_of
    from neo_assets.schema.pages import StoredPage

    storage, metrics = Storage(str(directory / "lake")), Metrics(DuckDB())
    keys = page_set_keys(pages, pages_per_set)
    size = 0

    def measured(key: str) -> Iterator[StoredPage]:
        nonlocal size
        for page in stored_pages(storage, pages_of(key)):
            size += page.facts.bytes
            yield page

    start = time.perf_counter()
    for key in keys:
        parsed = read_pages(measured(key))
        stored = {table.name: getattr(parsed, table.name) for table in FROM_JSON}
        stored |= {table.name: count(metrics, table, stored) for table in metrics.counts}
        for name, rows in stored.items():
            write_table(storage, metrics.tables[name], rows, key)
    for metric in metrics.adding_up:
        write_table(storage, metric.total, total(metrics, storage, metric, keys))
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"compute, {pages} pages in {len(keys)} sets: {size / 1e6:.0f} MB of JSON in {seconds:.2f} s = "
        f"{size / 1e6 / seconds:.0f} MB/s; peak memory {peak_mb:.0f} MB"
    )


def pace(
    directory: Path, pages: int = 400, per_second: float = 10.0, per_hour: int = 200, hour_s: float = 30.0
) -> None:
    """Fetch and store pages with a budget over a shortened hour, at several latencies. Compares the time with the
    minimum that both allow.
    """
    from neo_assets.lake.raw_pages import write_page
    from neo_assets.lake.storage import Storage
    from neo_assets.sources.neows.budget import Budget
    from neo_assets.sources.neows.client import NeoWsClient

    for latency_ms in (0, 100, 500):
        place = directory / f"pace-{latency_ms}"
        lake = Storage(str(place / "lake"))
        slow = ["--fault", f"slow={latency_ms}ms"] if latency_ms else []
        with serving(directory, pages, *slow) as served:
            budget = Budget(place / "requests.sqlite", served.url, [KEY], per_hour, per_second, hour_s=hour_s)

            async def fetch(url: str = served.url, budget: Budget = budget, lake: Storage = lake) -> None:
                async with NeoWsClient(url, [KEY], budget) as client:
                    async for page in client.pages(range(pages)):
                        write_page(lake, page)

            start = time.perf_counter()
            asyncio.run(fetch())
            seconds = time.perf_counter() - start
        hours, rest = divmod(pages - 1, per_hour)
        least = hours * hour_s + rest / per_second + latency_ms / 1000
        print(
            f"pace, {pages} pages, {per_second:g} requests a second and {per_hour} in {hour_s:g} s, {latency_ms} ms "
            f"latency: {seconds:.2f} s, minimum {least:.2f} s, {100 * (seconds / least - 1):.1f} % over it"
        )


def gather(directory: Path, pages: int, pages_per_set: int, runs: int) -> None:
    """`neo run` against a simulator in another process, with its pages rendered beforehand and without rate limits."""
    with serving(directory, pages) as served:
        settings = {"NEOWS_BASE_URL": served.url, "NEO_PAGES": pages, "NEO_PAGES_PER_SET": pages_per_set}
        seconds = timed([str(BIN / "neo"), "run"], runs, directory, **settings, **LIFTED)
        report(f"neo run, {pages} pages in sets of {pages_per_set} over HTTP", seconds)


def s3(directory: Path, runs: int) -> None:
    """`neo run` in turn on disk and on a real S3 server on loopback, and the requests sent to S3."""
    from neo_assets_tests.s3_server import counting, serving_s3

    run = [str(BIN / "neo"), "run"]
    with serving_s3(directory / "s3") as server, serving(directory, 200) as served, counting(server) as wire:
        for pages, pages_per_set in ((10, 2), (200, 50)):
            settings = LIFTED | {
                "NEOWS_BASE_URL": served.url,
                "NEO_PAGES": pages,
                "NEO_PAGES_PER_SET": pages_per_set,
            }
            sets, disk, bucket = pages // pages_per_set, [], []
            for _ in range(runs):
                disk += timed(run, 1, directory, **settings)
                bucket += timed(run, 1, directory, **settings, **server.settings(), NEO_LAKE=server.new_lake())
            report(f"neo run, {20 * pages} NEOs in {sets} sets, disk", disk)
            report(f"neo run, {20 * pages} NEOs in {sets} sets, S3", bucket)
            over = statistics.median(b / a for a, b in zip(disk, bucket, strict=True))
            print(f"S3 relative to disk, median of pairs: {over:.2f}")
            lake = {"NEO_LAKE": server.new_lake(), **server.settings(url=wire.url)}
            for what in ("first run", "second run, all up to date"):
                wire.requests.clear()
                timed(run, 1, directory, **settings, **lake)
                kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(wire.kinds().items()))
                each = ", ".join(f"{kind} {number / sets:.1f}" for kind, number in sorted(wire.kinds().items()))
                print(f"S3 requests, {what}: {len(wire.requests)} ({kinds}); per set: {each}")


def first(directory: Path, runs: int) -> None:
    """`neo run` as `make run` starts it after the installation."""
    report("neo run, 200 NEOs, embedded simulator", timed([str(BIN / "neo"), "run"], runs, directory))


def imports(directory: Path, runs: int) -> None:
    """How much longer `import neo_assets.definitions` takes than `import dagster`, measured in turn."""
    ours, dagsters = [], []
    for number in range(runs):
        dagsters += timed([sys.executable, "-c", "import dagster"], 1, directory / f"a{number}")
        ours += timed([sys.executable, "-c", "import neo_assets.definitions"], 1, directory / f"b{number}")
    report("import dagster", dagsters)
    report("import neo_assets.definitions", ours)
    more = statistics.median(a - b for a, b in zip(ours, dagsters, strict=True))
    print(f"longer than Dagster itself, median of pairs: {more:.2f} s")


def main() -> None:
    """Run the parts that the command line names, in that order."""
    parts: dict[str, Callable[[Path], None]] = {
        "import": lambda directory: imports(directory, max(given.runs, 5)),
        "first": lambda directory: first(directory, given.runs),
        "compute": lambda directory: compute(directory, given.pages, given.pages_per_set),
        "pace": lambda directory: pace(directory),
        "s3": lambda directory: s3(directory, given.runs),
        "gather": lambda directory: gather(directory, given.pages, given.pages_per_set, given.runs),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*parts, "all", "compute-only"), default="all", metavar="PART")
    parser.add_argument("--pages", type=int, default=1180, help="pages to compute or gather (default: %(default)s)")
    parser.add_argument("--pages-per-set", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if "compute-only" in given.parts:
        compute_only(given.directory, given.pages, given.pages_per_set)
        return
    for part in parts if "all" in given.parts else given.parts:
        with tempfile.TemporaryDirectory() as name:
            parts[part](Path(name))


if __name__ == "__main__":
    main()
