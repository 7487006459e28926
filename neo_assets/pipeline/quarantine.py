"""The quarantine of all page sets together. Which records go there is decided in `sources.neows.parse`."""

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX
from neo_assets.settings import Settings


def quarantined(settings: Settings) -> pa.Table:
    """Records in quarantine, of the current page sets and the landed objects.

    Returns:
        The columns of the table `quarantine`, `page_set`, and `file`: the landed file that the record came from, null
        if its page was fetched.
    """
    lake = Storage(settings.lake)
    keys = settings.page_sets
    rows = tables.read_page_sets(lake, QUARANTINE, tables.stored_page_sets(lake, QUARANTINE, with_landed(keys)))
    index = tables.read_page_sets(lake, RAW_PAGE_INDEX, pc.unique(rows["page_set"]).to_pylist())
    return rows.append_column("file", index["file"].take(pc.index_in(rows["page"], index["page"].combine_chunks())))
