"""Measures `neo run` beside what else could do its work, all on the same pages from the same server on this machine.

    make bench                                                 install the other tools, then measure all
    make bench BENCH_OPTIONS="--pages 100 --rounds 1"          a first impression in a few minutes
    make bench BENCH_OPTIONS=--growth                          with 1, 3 and 10 times the pages: a table and a picture
    .venv/bin/python benchmarks/compare.py --only neo dagster  only what needs no other tools

Contenders:

{contenders}

The pages are rendered before the clock starts, and another process serves them on loopback, without limits. They hold
captured objects if the directory ../shared/neows beside this checkout has some (.ndjson.gz, one object a line),
repeated under other ids as often as needed; else those of the simulator. In each round, every contender runs once, in
turn, as a process in a fresh directory. The table shows medians over the rounds. The totals of every run must be those
counted as the pages were rendered; else the comparison ends with an error.

Wall and CPU time (user and system) include child processes. Peak memory is that of the largest process. Requests are
those that reached the server. Files are what is left in the directory at the end.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import BIN, HERE, LIFTED, Cost, Served, metered, serving
from neo_assets.lake.storage import Storage
from neo_assets.lake.tables import read_table
from neo_assets.pipeline.metrics.registry import TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES
from neo_assets.schema.facts import NEOS_PER_PAGE

CAPTURED = HERE.parents[1] / "shared/neows"
GROWTH = (1, 3, 10)
GROWING = ("plain", "neo")
PICTURE = HERE.parent / "docs/images/growth.svg"
BENCH_PYTHON = Path(sys.prefix) / "bench/bin/python"
OLDEST_JAVA = 17

Totals = dict[str, dict[str, int]]
"""`near_misses` by orbiting body, and `approaches` by year."""


def printed(_: Path, output: str) -> Totals:
    """The totals in the last line that a contender printed."""
    totals: Totals = json.loads(output.splitlines()[-1])
    return totals


def in_the_lake(home: Path, _: str) -> Totals:
    """The totals in the lake that a contender made."""
    lake = Storage(str(home / "data/lake"))
    near_misses = read_table(lake, TOTAL_NEAR_MISSES).to_pylist()
    yearly = read_table(lake, TOTAL_YEARLY_APPROACHES).group_by("year").aggregate([("approaches", "sum")])
    return {
        "near_misses": {row["orbiting_body"]: row["near_misses"] for row in near_misses},
        "approaches": {str(row["year"]): row["approaches_sum"] for row in yearly.to_pylist()},
    }


@dataclass(frozen=True)
class Contender:
    """A way to do the exercise: a command, where its totals are, and whether it fetches the pages."""

    name: str
    what: str
    command: tuple[str, ...]
    totals: Callable[[Path, str], Totals]
    fetches: bool = True
    needs_java: bool = False

    def missing(self) -> str:
        """What it lacks on this machine; empty if nothing."""
        if not Path(self.command[0]).exists():
            return "its libraries are not installed: `make bench` does that"
        return java_missing() if self.needs_java else ""


def java_missing() -> str:
    """Why Spark has no Java to run on; empty if it has."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        return f"it needs Java {OLDEST_JAVA} or later, on the PATH or in JAVA_HOME"
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"it needs Java {OLDEST_JAVA} or later, not {version[1] if version else java}"
    return ""


def script(name: str, python: Path = BENCH_PYTHON) -> tuple[str, ...]:
    """The command that runs a script among the contenders."""
    return str(python), str(HERE / "contenders" / f"{name}.py")


CONTENDERS = (
    Contender("plain", "a plain script: httpx, json, pandas", script("plain"), printed),
    Contender("polars", "async httpx, orjson, polars", script("polars_async"), printed),
    Contender("dlt", "dlt's REST API source into DuckDB, then SQL", script("dlt_duckdb"), printed),
    Contender(
        "spark", "Spark local[2] over stored pages", script("spark_local"), printed, fetches=False, needs_java=True
    ),
    Contender("neo", "`neo run`", (str(BIN / "neo"), "run"), in_the_lake),
    Contender(
        "dagster",
        "`dagster asset materialize`, a process for each page set",
        script("dagster_cli", BIN / "python"),
        in_the_lake,
    ),
)


@dataclass(frozen=True)
class Run:
    """What one run cost, and the requests that it sent."""

    cost: Cost
    requests: int


class WrongTotals(Exception):
    """A contender's totals differ from the truth."""


def check(name: str, found: Totals, truth: Totals) -> None:
    """Compare totals with the truth.

    Raises:
        WrongTotals: they differ; the message has the first differences.
    """
    wrong = [
        f"{what} of {key}: {found.get(what, {}).get(key, 0):,} instead of {truth[what].get(key, 0):,}"
        for what in truth
        for key in sorted({*found.get(what, {}), *truth[what]})
        if found.get(what, {}).get(key, 0) != truth[what].get(key, 0)
    ]
    if wrong:
        raise WrongTotals(f"{name} has wrong totals: {'; '.join(wrong[:5])}{'; ...' if len(wrong) > 5 else ''}")


def run_once(contender: Contender, home: Path, served: Served, pages_per_set: int, stored: Path) -> Run:
    """Run a contender in a fresh directory, which is removed, and check its totals."""
    home.mkdir()
    shutil.copy(HERE.parent / "dagster.yaml", home)
    settings: dict[str, Any] = {"NEO_PAGES": served.pages, "NEO_PAGES_PER_SET": pages_per_set}
    settings |= LIFTED | {"NEOWS_BASE_URL": served.url, "PAGES": stored}
    before = served.requests()
    cost, output = metered(list(contender.command), home, **settings)
    requests = served.requests() - before
    check(contender.name, contender.totals(home, output), served.truth)
    shutil.rmtree(home)
    return Run(cost, requests)


def store_pages(served: Served, directory: Path) -> None:
    """Store every page as it is served, for contenders that do not fetch."""
    directory.mkdir()
    with httpx.Client(headers={"X-Api-Key": "storing"}, timeout=60) as http:
        for page in range(served.pages):
            body = http.get(f"{served.url}/neo/browse", params={"page": page}).raise_for_status().content
            (directory / f"page-{page:05d}.json").write_bytes(body)


def measure(
    contenders: Sequence[Contender], served: Served, rounds: int, pages_per_set: int, directory: Path
) -> dict[str, list[Run]]:
    """The runs of each contender, in turn."""
    stored = directory / "pages"
    if not all(contender.fetches for contender in contenders):
        store_pages(served, stored)
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            run = run_once(contender, directory / f"{contender.name}-{number}", served, pages_per_set, stored)
            runs[contender.name].append(run)
            print(f"round {number + 1} of {rounds}: {contender.name} {run.cost.wall_s:.1f} s", file=sys.stderr)
    return runs


def median(runs: Sequence[Run], of: Callable[[Cost], float]) -> float:
    """The median of one of the costs."""
    return statistics.median(of(run.cost) for run in runs)


def table(runs: dict[str, list[Run]], missing: dict[str, str]) -> str:
    """The medians as a Markdown table, and below it what could not run."""
    lines = [
        "| contender | wall | relative to plain | CPU | peak memory | requests | files left |",
        "|---|---|---|---|---|---|---|",
    ]
    for contender in CONTENDERS:
        if of := runs.get(contender.name):
            walls = [run.cost.wall_s for run in of]
            wall = statistics.median(walls)
            spread = f" ({min(walls):.1f} to {max(walls):.1f})" if len(walls) > 1 else ""
            ratio = f"{wall / median(runs['plain'], lambda it: it.wall_s):.1f}" if runs.get("plain") else ""
            requests = f"{of[-1].requests:,}" if contender.fetches else "none: it does not fetch"
            lines.append(
                f"| {contender.name}: {contender.what} | {wall:.1f} s{spread} | {ratio} "
                f"| {median(of, lambda it: it.cpu_s):.1f} s | {median(of, lambda it: it.peak_mb):,.0f} MB "
                f"| {requests} | {median(of, lambda it: it.left_mb):,.0f} MB |"
            )
        elif reason := missing.get(contender.name):
            lines.append(f"| {contender.name}: {contender.what} | not run: {reason} | | | | | |")
    return "\n".join(lines)


def offer(directory: Path, pages: int, objects: Path | None) -> Any:
    """Serve so many full pages of a catalogue that has no others."""
    neos = str(pages * NEOS_PER_PAGE)
    return serving(directory, pages, "--neos", neos, *(["--objects", str(objects)] if objects else []))


def described(served: Served, objects: Path | None, pages_per_set: int, rounds: int) -> str:
    """What was measured, in one line."""
    kind = "captured" if objects else "simulated"
    return (
        f"{served.pages:,} pages in sets of {pages_per_set} ({served.neos:,} {kind} NEOs, "
        f"{sum(served.truth['approaches'].values()):,} approaches, {served.mb:,.0f} MB); medians of {rounds}; "
        f"{os.cpu_count()} cores, Python {platform.python_version()}."
    )


def compare(contenders: Sequence[Contender], given: argparse.Namespace, directory: Path) -> None:
    """Measure all contenders on the same pages; print the table."""
    missing = {contender.name: reason for contender in contenders if (reason := contender.missing())}
    able = [contender for contender in contenders if contender.name not in missing]
    with offer(directory, given.pages, given.objects) as served:
        runs = measure(able, served, given.rounds, given.pages_per_set, directory)
    print(described(served, given.objects, given.pages_per_set, given.rounds))
    near_misses, approaches = (sum(served.truth[what].values()) for what in ("near_misses", "approaches"))
    if able:
        print(f"All totals are right: {near_misses:,} near misses, {approaches:,} approaches, per body and per year.")
    print(f"\n{table(runs, missing)}")


def measure_sizes(
    contenders: Sequence[Contender], given: argparse.Namespace, directory: Path
) -> dict[int, dict[str, list[Run]]]:
    """The runs of each contender for each number of pages. In each round all sizes take their turn, so that a machine
    that becomes slower or faster does not look like growth.
    """
    sizes = [given.pages * times for times in GROWTH]
    runs: dict[int, dict[str, list[Run]]] = {size: {contender.name: [] for contender in contenders} for size in sizes}
    with contextlib.ExitStack() as servers:
        served = {}
        for size in sizes:
            (directory / str(size)).mkdir()
            served[size] = servers.enter_context(offer(directory / str(size), size, given.objects))
        for number in range(given.rounds):
            for size in sizes:
                place = directory / str(size) / f"round-{number}"
                place.mkdir()
                print(f"{size:,} pages, round {number + 1} of {given.rounds}", file=sys.stderr)
                for name, ran in measure(contenders, served[size], 1, given.pages_per_set, place).items():
                    runs[size][name] += ran
    return runs


def grow(contenders: Sequence[Contender], given: argparse.Namespace, directory: Path) -> None:
    """Measure `neo run` and the plain script with more and more pages; print a table and draw the picture."""
    reasons = [f"{contender.name}: {reason}" for contender in contenders if (reason := contender.missing())]
    if not BENCH_PYTHON.exists():
        reasons.append("the picture needs libraries that are not installed: `make bench` does that")
    if reasons:
        raise SystemExit("; ".join(reasons))
    points = []
    lines = [
        "| contender | pages | wall | per 1,000 pages | CPU per 1,000 | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for pages, runs in measure_sizes(contenders, given, directory).items():
        for contender in contenders:
            wall_s = median(runs[contender.name], lambda it: it.wall_s)
            cpu_s = median(runs[contender.name], lambda it: it.cpu_s)
            peak_mb = median(runs[contender.name], lambda it: it.peak_mb)
            points.append({"contender": contender.what, "pages": pages, "wall_s": wall_s, "peak_mb": peak_mb})
            each = " | ".join(f"{1000 * seconds / pages:.2f} s" for seconds in (wall_s, cpu_s))
            lines.append(f"| {contender.what} | {pages:,} | {wall_s:.1f} s | {each} | {peak_mb:,.0f} MB |")
    chart = [str(BENCH_PYTHON), str(HERE / "chart.py"), str(given.picture)]
    subprocess.run(chart, input=json.dumps(points), text=True, check=True)
    print("\n".join(lines))
    print(f"\nThe picture is in {given.picture}.")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [contender.name for contender in CONTENDERS]
    listed = "\n".join(f"    {contender.name:<8} {contender.what}" for contender in CONTENDERS)
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(contenders=listed), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=1180, help="pages, of 20 NEOs each (default: %(default)s)")
    parser.add_argument("--pages-per-set", type=int, default=50, help="pages in a page set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="the contenders to run (default: all)")
    parser.add_argument("--growth", action="store_true", help=f"measure {' and '.join(GROWING)} as the pages grow")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where --growth draws (default: docs/images)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--real", type=Path, metavar="DIRECTORY", help="where captured objects are (default: see above)"
    )
    source.add_argument("--simulated", action="store_true", help="serve simulated objects, whatever is beside us")
    read = parser.parse_args(given)
    for name in ("pages", "pages_per_set", "rounds"):
        if getattr(read, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    beside = CAPTURED if any(CAPTURED.glob("*.ndjson.gz")) and not read.simulated else None
    read.objects = read.real.absolute() if read.real else beside
    return read


def main() -> None:
    """Measure what the command line asks for."""
    given = arguments()
    only = given.only or (GROWING if given.growth else [contender.name for contender in CONTENDERS])
    contenders = [contender for contender in CONTENDERS if contender.name in only]
    with tempfile.TemporaryDirectory() as name:
        try:
            (grow if given.growth else compare)(contenders, given, Path(name))
        except (RuntimeError, WrongTotals) as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
