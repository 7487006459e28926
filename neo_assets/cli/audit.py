"""`neo audit`: what was done in the lake, by whom, and with what outcome. Reading it lives in `pipeline.audit`."""

import json
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import click

from neo_assets.pipeline.text import quantity
from neo_assets.settings import Settings


@click.command()
@click.option("--last", default=20, type=click.IntRange(min=1), help="How many runs (default: 20), the latest last.")
@click.option("--failed", is_flag=True, help="Only runs in which something failed.")
@click.option("--job", metavar="NAME", help="Only runs of this job, such as page_set or totals.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object per line: each run, materialization and check."
)
def audit(last: int, failed: bool, job: str | None, as_json: bool) -> None:
    """List what was done, by whom, and what failed.

    One line per run, the latest last; below it, what failed in it, and why.

    The audit is in the lake, a Parquet file per run below audit/, so it outlives Dagster's own history.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.audit import read
    from neo_assets.schema.audit import FAILED, NOT_REACHED

    lake = Storage(Settings.load().lake)
    rows = read(lake, last, failed, job).to_pylist()
    for _, (run, *items) in groupby(rows, key=itemgetter("run_id")):
        if as_json:
            for row in (run, *items):
                known = {name: value for name, value in row.items() if value is not None}
                click.echo(json.dumps(known, default=datetime.isoformat))
            continue
        click.echo(_run(run))
        wrong = [row for row in items if row["status"] == FAILED and row["error"]]
        not_done = [row for row in wrong if row["error"] in (run["error"], NOT_REACHED)]
        for row in wrong:
            if row not in not_done:
                what = " ".join(row[name] for name in ("asset", "check") if row[name])
                click.echo(f"    {row['severity'] or 'failed'}: {what}: {row['error']}")
        if not_done:
            click.echo(f"    not done: {len(not_done)} of its tables and checks (--json lists them)")
    if not rows:
        nothing = "No run is recorded in this lake yet: start one with `neo run`."
        if failed:
            nothing = "Nothing failed."
        elif job:
            nothing = f"No run of the job {job} is recorded in this lake."
        click.echo(nothing, err=True)


def _run(row: Mapping[str, Any]) -> str:
    """A run in one line."""
    done = [f"{row['job']}" + (f" {row['page_set']}" if row["page_set"] else "")]
    if row["pages_fetched"] is not None:
        done.append(f"{quantity(row['pages_fetched'], 'page')} fetched, {row['pages_reused']:,} reused")
    if row["requests"]:
        done.append(quantity(row["requests"], "request"))
    took = f"{row['seconds']:.1f} s" if row["seconds"] is not None else ""
    ending = f": {row['error']}" if row["error"] else ""
    return (
        f"{row['queued_at']:%Y-%m-%d %H:%M:%S}  {row['status']:<10}  {took:>8}  {', '.join(done)}"
        f"  ({row['launched_by']}, {row['account']}, run {row['run_id'][:8]}){ending}"
    )
