"""Measures what grows with the catalogue, and prints what `docs/scale.md` quotes. Not a test.

    .venv/bin/python benchmarks/scale.py                                  all parts
    .venv/bin/python benchmarks/scale.py runs                             what a page and a page set add to each store
    .venv/bin/python benchmarks/scale.py graph                            Dagster with many page sets
    .venv/bin/python benchmarks/scale.py lakes --times 1 3 10             time and memory over whole lakes

`runs` are `neo run`s of few pages on a real S3 server on loopback; its figures are counts, so they do not depend on the
machine. `lakes` hold 42 page sets of 50 pages, times the number given: copies of simulated NEOs under other ids. Each
of its figures is of a process of its own, without the cluster that `--remote` may name. Files go to a temporary
directory, which is removed.
"""

import argparse
import re
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import BIN, HERE, metered
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.lake.tables import write_table
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import bring_up_to_date, total
from neo_assets.pipeline.incidents import standing
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.refresh import due, start_of_day
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import SIMULATOR
from neo_assets.schema.tables import CATALOGUE_STATS, SNAPSHOT
from neo_assets.settings import Settings

PAGES = 2_100
PAGES_PER_SET = 50
SHAPES = ((4, 2), (8, 2), (4, 4))
"""Page sets, and pages in each: they differ in one number at a time."""
GRAPHS = (42, 420, 4_200)
PARTITIONS = """{assetNodes(assetKeys: [{path: ["raw_pages"]}]) {
    partitionKeys
    partitionStats {numMaterialized}
    assetPartitionStatuses {... on DefaultPartitionStatuses {materializedPartitions}}
}}"""
"""What the UI asks to draw the partitions of an asset."""

Row = Mapping[str, float]


def table(named: str, rows: Mapping[str, Row]) -> None:
    """Print figures as a Markdown table."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    print(f"\n| {named} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{row[column]:,.10g}' if column in row else '' for column in columns)} |")
    sys.stdout.flush()


# --- runs


def runs(directory: Path) -> None:
    """What `neo run` leaves and asks for, by page and by page set."""
    from neo_assets_tests.s3_server import counting, serving_s3

    first, again = dict[tuple[int, int], Counter[str]](), dict[tuple[int, int], Counter[str]]()
    with serving_s3(directory / "s3") as server, counting(server) as wire:
        for shape in SHAPES:
            page_sets, pages = shape
            home, lake = directory / f"{page_sets}-{pages}", server.new_lake()
            home.mkdir()
            shutil.copy(HERE.parent / "dagster.yaml", home)
            settings = {"NEO_PAGES": page_sets * pages, "NEO_PAGES_PER_SET": pages, "NEO_LAKE": lake}
            settings |= server.settings(url=wire.url)
            for found in (first, again):
                wire.requests.clear()
                metered([str(BIN / "neo"), "run"], home, **settings)
                found[shape] = Counter({f"S3 {kind}": number for kind, number in wire.kinds().items()})
            first[shape]["files in the lake"] = len(server.keys(lake))
            first[shape] += of_dagster(home / "data")
    table("first run", slopes(first))
    table("run with nothing to do", slopes(again))


def of_dagster(home: Path) -> Counter[str]:
    """What Dagster has stored in a directory: database files, their kB, and events."""
    found = Counter[str]()
    for file in home.rglob("*.db"):
        found["Dagster's databases"] += 1
        found["Dagster's kB"] += file.stat().st_size // 1024
        with closing(sqlite3.connect(file)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'event_logs'").fetchone():
                [number] = database.execute("SELECT count(*) FROM event_logs").fetchone()
                found["rows in the index" if file.name == "index.db" else "Dagster's events"] += number
    return found


def slopes(found: Mapping[tuple[int, int], Counter[str]]) -> dict[str, Row]:
    """What a page adds, and what a page set adds besides its pages; the rest is independent of both."""
    small, more_sets, more_pages = (found[shape] for shape in SHAPES)
    (sets, pages), (sets_more, _), (_, pages_more) = SHAPES
    rows = dict[str, Row]()
    for name in small:
        page = (more_pages[name] - small[name]) / (sets * (pages_more - pages))
        page_set = (more_sets[name] - small[name]) / (sets_more - sets) - page * pages
        rows[name] = {"a page": page, "a page set": page_set, "a run": small[name] - sets * (page_set + page * pages)}
    return rows


# --- graph


def graph(directory: Path) -> None:
    """CPU time and memory to import the definitions; time until the UI knows an asset's partitions."""
    rows = dict[str, Row]()
    load = "from neo_assets.definitions import defs; defs.get_repository_def()"
    for page_sets in GRAPHS:
        home = directory / str(page_sets)
        home.mkdir()
        settings = {"NEO_PAGES": 2 * page_sets, "NEO_PAGES_PER_SET": 2}
        cost, _ = metered([sys.executable, "-c", load], home, **settings)
        asked, printed = metered([sys.executable, __file__, "--step", "ask"], home, **settings)
        rows[f"{page_sets:,}"] = {
            "import: CPU s": round(cost.cpu_s, 1),
            "import: peak MB": round(cost.peak_mb),
            "query: s": round(float(re.findall(r"^answered in (.*) s$", printed, re.MULTILINE)[0]), 2),
            "webserver: peak MB": round(asked.peak_mb),
        }
    table("page sets in the graph", rows)


def ask() -> None:
    """Print the median time of a query of Dagster's UI, once every page set is recorded as made."""
    import dagster as dg
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import ModuleTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from starlette.testclient import TestClient

    target = ModuleTarget("neo_assets.definitions", None, "neo_assets.definitions", None)
    with dg.DagsterInstance.local_temp() as instance:
        for page_set in Settings.load().page_sets:
            instance.report_runless_asset_event(dg.AssetMaterialization("raw_pages", partition=page_set))
        with WorkspaceProcessContext(instance, target) as workspace:
            client, seconds = TestClient(create_app_from_workspace_process_context(workspace)), list[float]()
            for _ in range(5):
                start = time.perf_counter()
                answer = client.post("/graphql", json={"query": PARTITIONS}).json()["data"]["assetNodes"][0]
                seconds.append(time.perf_counter() - start)
                assert answer["partitionStats"]["numMaterialized"] == len(answer["partitionKeys"])
    print(f"answered in {statistics.median(seconds)} s")  # among lines of the code server


# --- lakes


def fill(lake: Storage, _: Metrics, page_sets: Sequence[str]) -> None:
    """Write pages and tables."""
    from benchmarks.copies import PageSet

    owner.claim(lake, SIMULATOR)
    one = PageSet.simulated(len(page_sets) * PAGES_PER_SET)
    for page_set in page_sets:
        one.write(lake, page_set)


def totals(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
    """The totals that page sets add up to, and the verdict on the snapshot."""
    for metric in metrics.adding_up:
        write_table(lake, metric.total, total(metrics, lake, metric, page_sets))
    write_table(lake, SNAPSHOT, Snapshot(lake, metrics, page_sets).table())


def catalogue(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
    """The metrics of the whole catalogue."""
    bring_up_to_date(metrics, lake, page_sets)


def checks(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
    """The asset checks of all totals and of the snapshot."""
    from neo_assets.orchestration.checks.totals import Stored, of_catalogue, of_totals

    stored = Stored(lake, metrics, page_sets, max_age_hours=24)
    for check in (*of_totals(metrics), *of_catalogue(metrics)):
        if check.asset != CATALOGUE_STATS.name:
            passed, figures = stored.verdict(check)
            assert passed, (check, figures)


def files(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
    """The database, and Parquet beside it."""
    from neo_assets.products import database
    from neo_assets.products.contents import Contents

    database.make(lake, Contents(lake, metrics, page_sets))


def page(lake: Storage, *_: object) -> None:
    """The report."""
    from neo_assets.products import report

    report.make(lake, datetime.now(UTC).date())


def alerts(lake: Storage, _: Metrics, page_sets: Sequence[str]) -> None:
    """What the sensor `alerts` reads of the lake, every 30 seconds."""
    pages = {"pages": len(page_sets) * PAGES_PER_SET, "pages_per_set": PAGES_PER_SET}
    standing(lake, Settings.load().model_copy(update=pages))


def refresh(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> None:
    """What the schedule `daily_refresh` reads of the lake, every hour."""
    due(lake, page_sets, metrics.of_a_page_set, start_of_day(datetime.now(UTC)))


STEPS: Mapping[str, Callable[[Storage, Metrics, Sequence[str]], None]] = {
    "totals": totals,
    "metrics of the catalogue": catalogue,
    "checks of totals": checks,
    "neo.duckdb": files,
    "report": page,
    "`alerts`": alerts,
    "`daily_refresh`": refresh,
}


def lakes(directory: Path, each: Iterable[float], remote: str | None) -> None:
    """CPU time and peak memory of what reads the whole lake, for lakes of several sizes, here or beside a cluster."""
    engine = {"NEO_ENGINE": "spark", "SPARK_REMOTE": remote} if remote else {}
    sizes, seconds, peaks = dict[str, Row](), dict[str, Row](), dict[str, Row]()
    for times in each:
        pages, size = round(PAGES * times / PAGES_PER_SET) * PAGES_PER_SET, f"{times:g}x"
        home = directory / size
        home.mkdir()
        mine = [sys.executable, __file__, "--pages", str(pages), "--step"]
        metered([*mine, "fill"], home)
        found = [path.stat().st_size for path in (home / "lake").rglob("*") if path.is_file()]
        sizes[size] = {
            "pages": pages,
            "page sets": pages // PAGES_PER_SET,
            "files": len(found),
            "MB": sum(found) // 10**6,
        }
        costs = {step: metered([*mine, step], home, **engine)[0] for step in STEPS}
        settings = {"NEO_PAGES": pages, "NEO_PAGES_PER_SET": PAGES_PER_SET, "NEO_LAKE": home / "lake"} | engine
        for _ in range(2):  # the first run fetches NeoWs's own counts
            costs["`neo run`, nothing to do"], _ = metered([str(BIN / "neo"), "run"], home, **settings)
        seconds[size] = {name: round(cost.cpu_s, 1) for name, cost in costs.items()}
        peaks[size] = {name: round(cost.peak_mb) for name, cost in costs.items()}
        shutil.rmtree(home)
        print(size, sizes[size], seconds[size], peaks[size], file=sys.stderr, flush=True)
    table("lake", sizes)
    table("CPU s, with Python's start", seconds)
    table("peak MB", peaks)


def main() -> None:
    """Run the parts that the command line names."""
    parts: dict[str, Callable[[Path], None]] = {
        "runs": runs,
        "graph": graph,
        "lakes": lambda directory: lakes(directory, given.times, given.remote),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*parts, []), default=[], metavar="PART")
    parser.add_argument("--times", type=float, nargs="+", default=[1, 3, 10], help="(default: %(default)s)")
    parser.add_argument("--remote", help="a cluster that computes the metrics, such as sc://127.0.0.1:15002")
    parser.add_argument("--step", choices=("ask", "fill", *STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--pages", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step == "ask":
        ask()
        return
    if given.step:
        metrics, page_sets = Metrics.of(Settings.load()), page_set_keys(given.pages, PAGES_PER_SET)
        {"fill": fill, **STEPS}[given.step](Storage(str(Path("lake").absolute())), metrics, page_sets)
        return
    for part in given.parts or parts:
        with tempfile.TemporaryDirectory() as name:
            parts[part](Path(name))


if __name__ == "__main__":
    main()
