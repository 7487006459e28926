"""Records that could not be read, over all page sets. How they get there stands in `neows.parse` and
`assets.silver`.
"""

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.page_sets import LANDED, page_set_keys
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX
from neo_assets.settings import Settings


def quarantined(settings: Settings) -> pa.Table:
    """The quarantine of the current page sets and of the landed objects, with the columns `page_set` and `file`, the
    landed file that a record came in (null where it was fetched).
    """
    lake = Storage(settings.lake)
    keys = page_set_keys(settings.pages, settings.pages_per_set)
    rows = tables.read_page_sets(lake, QUARANTINE, tables.stored_page_sets(lake, QUARANTINE, [*keys, LANDED]))
    index = tables.read_page_sets(lake, RAW_PAGE_INDEX, pc.unique(rows["page_set"]).to_pylist())
    return rows.append_column("file", index["file"].take(pc.index_in(rows["page"], index["page"].combine_chunks())))
