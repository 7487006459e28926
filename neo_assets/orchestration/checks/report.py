"""The check of the report: whether it shows the snapshot, and every NEO. Making it lives in `products.report`."""

import io
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv

from neo_assets.lake import layout
from neo_assets.lake.owner import source_of
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products import index
from neo_assets.schema.tables import NEO_RECORDS


def report_shows_the_snapshot(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Verdict:
    """The report is of the state that the lake has, and names its verdict and source; all of its charts are there. The
    CSV file has every NEO once, in the order of their ids.
    """
    from neo_assets.products import database, report  # their libraries take 0.1 s to load, only here

    catalogue, made = Catalogue.whole(lake, metrics, page_sets), index.read(lake)
    try:
        page = lake.read(layout.product(report.PAGE)).to_pybytes()
        table = lake.read(layout.product(report.TABLE)).to_pybytes()
        of_page, of_table = made[report.PAGE], made[report.TABLE]
    except (FileNotFoundError, KeyError):
        return False, {"cannot be read": "a file is missing"}
    with database.opened(lake) as connection:
        [(state, verdict)] = connection.execute("SELECT snapshot_id, verdict FROM snapshot").fetchall()
    origins = report.origins(lake, of_page.made_at.date())
    if state != catalogue.state or (of_page.origin, of_table.origin) != (origins[report.PAGE], origins[report.TABLE]):
        return True, {"not checked": "page sets have changed since; it is made again after the database"}
    wanted = {
        "snapshot": state,
        "verdict": verdict,
        "source": source_of(lake) or "unknown",
        "charts": str(of_page.rows),
    }
    said = report.facts(page.decode(errors="replace"))
    wrong: dict[str, object] = {
        name: f"{said.get(name, 'nothing')} instead of {value}"
        for name, value in wanted.items()
        if said.get(name) != value
    }
    ids = sorted(catalogue.rows(NEO_RECORDS, ["id"])["id"].to_pylist())
    try:
        found = _ids(table)
    except pa.ArrowInvalid as error:
        wrong[report.TABLE] = str(error)
    else:
        if found != ids:
            wrong[report.TABLE] = f"other NEOs than the lake: {len(found)} rows for {len(ids)} NEOs"
    return not wrong, wrong or {"charts": of_page.rows, "NEOs": len(ids)}


def _ids(table: bytes) -> list[str]:
    """The ids of the NEOs in the CSV file. Raises `pa.ArrowInvalid` if it is damaged."""
    options = csv.ConvertOptions(include_columns=["neo_id"], column_types={"neo_id": pa.string()})
    try:
        ids: list[str] = csv.read_csv(io.BytesIO(table), convert_options=options)["neo_id"].to_pylist()
    except KeyError as error:
        raise pa.ArrowInvalid(f"no column {error}") from None
    return ids
