"""Measures how long the run of a page set takes with Dagster's state in SQLite and in PostgreSQL, and prints what
`docs/postgres.md` quotes. Not a test.

    .venv/bin/python benchmarks/dagster_state.py

It starts a PostgreSQL server on loopback, whose commits wait for the disk. The kinds take turns, each time with a new
lake of simulated pages; compare their ratio only.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import clean_environment
from neo_assets_tests.integration.harness import CHECKOUT, dagster_yaml_for_postgres
from neo_assets_tests.postgres_server import postgres_programs, serving_postgres

PAGE_SETS = 12

_OURS = dagster_yaml_for_postgres()
_DAGSTERS = _OURS.replace("neo_assets.orchestration.postgres_state", "dagster_postgres").replace(
    "StateInPostgres\n    config: {}", "DagsterPostgresStorage\n    config: {postgres_url: {env: DAGSTER_URL}}"
)
KINDS = {
    "SQLite": (CHECKOUT / "dagster.yaml").read_text(),
    "PostgreSQL": _OURS,
    "PostgreSQL, by dagster-postgres alone": _DAGSTERS,
}
"""What is measured, and its `dagster.yaml`."""


def seconds(dagster_yaml: str, url: str) -> float:
    """Run the graph on a new lake. Returns the median time of a page set's run."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "dagster.yaml").write_text(dagster_yaml)
        names = {"NEO_PAGES": PAGE_SETS, "NEO_PAGES_PER_SET": 1, "NEO_REQUESTS_PER_SECOND": 1_000}
        urls = {"NEO_POSTGRES_URL": url, "DAGSTER_URL": url.replace("://", "+psycopg2://")}
        environment = clean_environment(here, **names, **urls)
        neo = str(Path(sys.executable).with_name("neo"))
        subprocess.run([neo, "run"], check=True, cwd=here, env=environment, capture_output=True)
        audit = subprocess.run(
            [neo, "audit", "--json"], check=True, cwd=here, env=environment, capture_output=True, text=True
        )
    rows = [json.loads(line) for line in audit.stdout.splitlines()]
    return statistics.median(float(row["seconds"]) for row in rows if row["kind"] == "run" and "page_set" in row)


def main() -> None:
    """Measure each kind several times, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    rounds = parser.parse_args().rounds
    if not (programs := postgres_programs()):
        sys.exit("no PostgreSQL server is installed (on Debian: apt-get install postgresql)")
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with serving_postgres(programs, is_durable=True) as server:
        for _ in range(rounds):
            for kind, dagster_yaml in KINDS.items():
                found[kind].append(seconds(dagster_yaml, server.new_database()))
    base = statistics.median(found["SQLite"])
    for kind, times in found.items():
        taken = statistics.median(times)
        print(f"{kind}: {taken:.2f} s for a page set of one page, {taken / base:.1f} times SQLite's")


if __name__ == "__main__":
    main()
