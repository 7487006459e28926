"""The table `heartbeat`: adding a row, and what the last rows say. The requests live in `sources.neows`.

The table is one file, written anew for each row. A write replaces it whole, on disk and S3, so no reader ever sees half
of it. It stays small, and engines read it like any other table; a file for each heartbeat would have to be merged with
others sooner or later.
"""

import logging
from dataclasses import asdict
from datetime import datetime
from math import ceil

import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.schema.facts import NEOS_PER_PAGE
from neo_assets.schema.heartbeat import NOT_ASKED, OVER_LIMIT, Heartbeat
from neo_assets.schema.heartbeat_table import HEARTBEAT

logger = logging.getLogger(__name__)

_INCONCLUSIVE = (OVER_LIMIT, NOT_ASKED)
"""Statuses that do not show whether NeoWs is in order."""


def append(lake: Storage, beat: Heartbeat) -> pa.Table:
    """Add a heartbeat to the table, and return all rows. Of two that are added at the same moment, one may be lost.

    Raises:
        LakeError: the table cannot be read or written; a damaged one is begun anew.
    """
    row = pa.Table.from_pylist([asdict(beat)], schema=HEARTBEAT.schema)
    rows = pa.concat_tables([row.slice(0, 0), _stored(lake), row], promote_options="default").replace_schema_metadata()
    tables.write_table(lake, HEARTBEAT, rows)
    return rows


def last_conclusive(lake: Storage) -> Heartbeat | None:
    """The last heartbeat that shows whether NeoWs is in order; None if there is none. One for which no requests were
    left shows nothing.
    """
    rows = _stored(lake).to_pylist()
    return next((Heartbeat(**row) for row in reversed(rows) if row["status"] not in _INCONCLUSIVE), None)


def last_at(lake: Storage) -> datetime | None:
    """When the last heartbeat was, whatever it shows; None if there is none."""
    times = _stored(lake)["at"]
    at: datetime | None = times[-1].as_py() if len(times) else None
    return at


def catalogue_pages(lake: Storage) -> int | None:
    """Number of pages in NeoWs's catalogue, according to the last heartbeat that saw it; None if none did."""
    sizes = _stored(lake)["total_elements"].drop_null()
    return ceil(sizes[-1].as_py() / NEOS_PER_PAGE) if len(sizes) else None


def _stored(lake: Storage) -> pa.Table:
    try:
        return tables.read_table(lake, HEARTBEAT)
    except LakeLacks:
        pass
    except LakeDamaged as error:
        logger.warning("%s", error)
    return HEARTBEAT.schema.empty_table()
