"""Measures how many questions `neo serve` answers, beside datasette over the same rows, and prints what `docs/speed.md`
quotes. Not a test.

    make bench BENCH_OPTIONS="--pages 1 --rounds 1"          installs datasette, once
    .venv/bin/python benchmarks/serve.py                     the whole catalogue, about 862,000 approaches
    .venv/bin/python benchmarks/serve.py --lake data/lake    the products of a lake that is there
    .venv/bin/python benchmarks/serve.py --only neo          without datasette

wrk asks, from the same machine (on Debian, `apt install wrk`). In each round, each server is started, asked everything,
and ended, in turn. `upcoming`, `yearly` and `snapshot` are always the same question. `window` are approaches to Earth
within a month or a year, nearer than some distance; `everywhere` those of all times, the fastest first; each is another
question. Then 1,000 clients ask `neo serve` at once, 19 of 20 times one of the same three questions; and while 10,000
requests are answered, two snapshots take turns in the lake. Memory and CPU time are those of all
processes of a server; CPU time is that of one answer.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil

from benchmarks.compare import BENCH_PYTHON
from benchmarks.harness import BIN, HERE, clean_environment
from benchmarks.products import fill

PREBUILT, FILTERED = ("upcoming", "yearly", "snapshot"), ("window", "everywhere")
CONNECTIONS = dict.fromkeys(PREBUILT, 100) | dict.fromkeys(FILTERED, 50)
_TABLES = {
    "approaches": "FROM approaches ORDER BY close_approach_at",
    "upcoming": "FROM upcoming_approaches ORDER BY close_approach_at",
    "yearly": "FROM total_yearly_approaches",
    "snapshot": "FROM snapshot",
}
_INDEXES = ("close_approach_date", "close_approach_at", "miss_distance_au", "neo_id")
_STEPS = 10_000


@dataclass(frozen=True)
class Asked:
    """What came of asking for a while."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_s: float
    """CPU time of the server's processes."""

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU time of the server for an answer."""
        return self.cpu_s * 1000 / max(1, self.requests)


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    name: str
    url: str
    process: psutil.Process
    started_s: float
    """Seconds from its start to its first answer."""

    def ask(self, what: str, connections: int, seconds: int) -> Asked:
        """Ask it for some seconds, once it has done what it was asked before: a slow one goes on after wrk has gone."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            busy_s = self._cpu_s()
            time.sleep(0.5)
            if self._cpu_s() - busy_s < 0.05:
                break
        seed = str(random.randrange(1 << 30))
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s"]
        command += ["-s", str(HERE / "questions.lua"), self.url, "--", self.name, what, seed]
        before = self._cpu_s()
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return Asked(**json.loads(printed.splitlines()[-1]), cpu_s=self._cpu_s() - before)

    def warm_up(self) -> None:
        """Ask what is read once: `neo serve` loads rows into memory, which takes a while."""
        for number in range(20):
            if self.name == "neo":
                httpx.get(f"{self.url}/v1/close-approaches?limit={number + 1}", timeout=30)
        for what, connections in CONNECTIONS.items():
            self.ask(what, connections, 1)

    def _cpu_s(self) -> float:
        every = [self.process, *self.process.children(recursive=True)]
        return sum(float(one.cpu_times().user + one.cpu_times().system) for one in every)

    def memory_mb(self) -> float:
        """The memory of all its processes, in MB (10^6 bytes)."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(float(one.memory_info().rss) for one in every) / 1e6


def make_lake(directory: Path, pages: int) -> Path:
    """A lake with simulated pages and their products."""
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.duckdb import DuckDB
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products import database
    from neo_assets.products.contents import Contents
    from neo_assets.schema.page_sets import page_set_keys

    keys = page_set_keys(pages, 50)
    fill(directory, keys)
    lake = Storage(str(directory / "lake"))
    database.make(lake, Contents(lake, Metrics(DuckDB()), keys))
    return directory / "lake"


def to_sqlite(lake: Path, file: Path) -> None:
    """Write the rows that are asked for into a database for datasette, with the indexes that its users would make."""
    with (
        duckdb.connect(str(lake / "products/neo.duckdb"), read_only=True) as source,
        contextlib.closing(sqlite3.connect(file)) as sink,
    ):
        source.execute("SET enable_progress_bar = false")
        for table, sql in _TABLES.items():
            rows: Any = source.execute(sql)
            columns = [name for name, *_ in rows.description]
            sink.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            marks = ", ".join("?" for _ in columns)
            while some := rows.fetchmany(_STEPS):
                plain = ([str(one) if hasattr(one, "year") else one for one in row] for row in some)
                sink.executemany(f"INSERT INTO {table} VALUES ({marks})", plain)
        for column in _INDEXES:
            sink.execute(f"CREATE INDEX approaches_{column} ON approaches ({column})")
        sink.execute("ANALYZE")
        sink.commit()


@contextlib.contextmanager
def serving(name: str, directory: Path, lake: Path, workers: int) -> Iterator[Server]:
    """Start a server, and wait for its first answer. Datasette has one process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    if name == "neo":
        command, first = [str(BIN / "neo"), "serve", "--port", port, "--workers", str(workers)], "/v1/upcoming"
    else:
        command = [str(BENCH_PYTHON.with_name("datasette")), "serve", "--immutable", str(directory / "neo.db")]
        command, first = [*command, "--port", port], "/neo/upcoming.json"
    begun = time.perf_counter()
    environment = clean_environment(directory, NEO_LAKE=lake.absolute())
    log = directory / f"{name}.log"
    with (
        log.open("w") as written,
        subprocess.Popen(command, cwd=directory, env=environment, stdout=written, stderr=written) as process,
        httpx.Client(timeout=30) as client,  # to make one takes as long as much of the start
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(url + first).status_code == 200:
                        break
                if process.poll() is not None:
                    raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.01)
            yield Server(name, url, psutil.Process(process.pid), time.perf_counter() - begun)
        finally:
            process.terminate()


def in_turn(names: list[str], directory: Path, lake: Path, workers: int, rounds: int, seconds: int) -> None:
    """Ask each server everything, in turn, and print a table."""
    found: dict[tuple[str, str], list[Asked]] = {}
    about: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for _, name in itertools.product(range(rounds), names):
        with serving(name, directory, lake, workers) as server:
            server.warm_up()
            before = server.memory_mb()
            for what, connections in CONNECTIONS.items():
                found.setdefault((what, name), []).append(server.ask(what, connections, seconds))
            about[name].append((server.started_s, before, server.memory_mb()))
    print("| question | connections | server | answers a second | p50 | p99 | CPU | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for what, name in itertools.product(CONNECTIONS, names):
        every = found[what, name]
        figures = ("per_s", "p50_ms", "p99_ms", "cpu_ms")
        per_s, p50_ms, p99_ms, cpu_ms = (statistics.median(getattr(one, name) for one in every) for name in figures)
        spread = f"{min(one.per_s for one in every):,.0f} to {max(one.per_s for one in every):,.0f}"
        print(
            f"| {what} | {CONNECTIONS[what]} | {name} | {per_s:,.0f} ({spread}) | {p50_ms:.1f} ms | {p99_ms:.1f} ms "
            f"| {cpu_ms:.2f} ms | {sum(one.errors for one in every)} of {sum(one.requests for one in every):,} |"
        )
    for name in names:
        started, before, after = (statistics.median(part) for part in zip(*about[name], strict=True))
        print(f"{name}: first answer after {started:.2f} s; {before:.0f} MB before the questions, {after:.0f} MB after")


def crowd(directory: Path, lake: Path, workers: int, clients: int, seconds: int) -> None:
    """Have many clients ask at once, and print what came of it."""
    with serving("neo", directory, lake, workers) as server:
        server.warm_up()
        before = server.memory_mb()
        asked = server.ask("mixed", clients, seconds)
        after = server.memory_mb()
    print(
        f"{clients:,} clients for {seconds} s: {asked.requests:,} answers, {asked.per_s:,.0f} a second, "
        f"p99 {asked.p99_ms:.0f} ms, {asked.errors} errors; {before:.0f} MB before, {after:.0f} MB after"
    )


class Turns:
    """Two snapshots of a lake that take turns: the one that is there, and one whose counts are all higher by one."""

    def __init__(self, lake: Path, directory: Path) -> None:
        from neo_assets.lake.storage import Storage

        self._lake, self._files = Storage(str(lake)), [directory / "one.duckdb", directory / "other.duckdb"]
        for file in self._files:
            shutil.copy(lake / "products/neo.duckdb", file)
        with duckdb.connect(str(self._files[1])) as other:
            other.execute("UPDATE snapshot SET snapshot_id = 'other', close_approaches = close_approaches + 1")
            other.execute("UPDATE total_near_misses SET near_misses = near_misses + 1")
            other.execute("UPDATE total_yearly_approaches SET approaches = approaches + 1")
            other.execute("UPDATE close_approaches SET relative_velocity_km_s = relative_velocity_km_s + 1")
        self.number = 0

    def next(self) -> None:
        """Store the other one."""
        from neo_assets.products import index
        from neo_assets.products.database import DATABASE

        self.number += 1
        index.store(self._lake, DATABASE, self._files[self.number % 2].read_bytes(), f"turn {self.number}", 0)


async def swapped(url: str, turns: Turns, requests: int) -> tuple[Counter[str], dict[tuple[str, str], set[int]]]:
    """Ask while snapshots take turns: the outcomes, and the different answers to each question from each snapshot."""
    paths = ["/v1/near-misses", "/v1/yearly-approaches", "/v1/snapshot", "/v1/close-approaches?date-min=2029-01-01"]
    outcomes: Counter[str] = Counter()
    seen: dict[tuple[str, str], set[int]] = {}
    left = iter(range(requests))
    is_over = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        for number in left:
            path = paths[number % len(paths)]
            try:
                answer = await client.get(path)
            except httpx.TransportError as error:
                outcomes[type(error).__name__] += 1
                continue
            outcomes[str(answer.status_code)] += 1
            if answer.status_code == 200:
                body = answer.json()
                body.pop("next", None)  # which also tells one storing of a snapshot from another
                seen.setdefault((path, body["signature"]["snapshot"]), set()).add(hash(json.dumps(body)))

    async def swap() -> None:
        while not is_over.is_set():
            await asyncio.to_thread(turns.next)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), 4)

    limits = httpx.Limits(max_connections=50, keepalive_expiry=2)  # sooner than the server would close them
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        swapping = asyncio.create_task(swap())
        await asyncio.gather(*(ask(client) for _ in range(50)))
        is_over.set()
        await swapping
    return outcomes, seen


def swaps(directory: Path, lake: Path, workers: int, requests: int) -> None:
    """Have snapshots take turns under load, and print whether an answer failed or mixed them."""
    turns = Turns(lake, directory)
    with serving("neo", directory, lake, workers) as server:
        outcomes, seen = asyncio.run(swapped(server.url, turns, requests))
    if turns.number % 2:
        turns.next()  # as it was
    mixed = sum(len(bodies) - 1 for bodies in seen.values())
    statuses = ", ".join(f"{number:,} with {status}" for status, number in outcomes.items())
    print(
        f"snapshots stored {turns.number} times during {requests:,} requests: {statuses}; "
        f"{len({snapshot for _, snapshot in seen})} snapshots seen, {mixed} answers mixed them"
    )


def main() -> None:
    """Make what is asked for, then ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, help="a lake on this machine with products (default: one is made)")
    parser.add_argument("--pages", type=int, default=2_100, help="of the lake that is made (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of `neo serve` (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="that each question is asked for (default: %(default)s)")
    parser.add_argument("--crowd-seconds", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--clients", type=int, default=1_000, help="of the crowd (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=10_000, help="while snapshots change (default: %(default)s)")
    parser.add_argument("--only", choices=["neo", "datasette"], help="one server alone")
    given = parser.parse_args()
    names = [given.only] if given.only else ["neo", "datasette"]
    if not shutil.which("wrk"):
        parser.error("wrk is not installed: on Debian, `apt install wrk`")
    if "datasette" in names and not BENCH_PYTHON.with_name("datasette").exists():
        parser.error("datasette is not installed: `make bench` installs it, or leave it out with `--only neo`")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        made = directory / "lake"  # a copy, as snapshots take turns in it
        if given.lake:
            (made / "products").mkdir(parents=True)
            for file in ("neo.duckdb", "index.json"):
                shutil.copy(given.lake / "products" / file, made / "products")
            shutil.copy(given.lake / "lake.json", made)
        else:
            make_lake(directory, given.pages)
        if "datasette" in names:
            to_sqlite(made, directory / "neo.db")
        in_turn(names, directory, made, given.workers, given.rounds, given.seconds)
        if "neo" in names:
            crowd(directory, made, given.workers, given.clients, given.crowd_seconds)
            swaps(directory, made, given.workers, given.requests)


if __name__ == "__main__":
    main()
