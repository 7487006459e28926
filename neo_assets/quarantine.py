"""Records that could not be read, over all page sets. How they get there stands in `neows.parse` and
`assets.silver`.
"""

import pyarrow as pa

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.partitions import LANDED, page_sets
from neo_assets.schema import QUARANTINE
from neo_assets.settings import Settings


def quarantined(settings: Settings) -> pa.Table:
    """The quarantine of the current page sets and of the landed objects, with a column `page_set`."""
    lake = Storage(settings.lake)
    keys = page_sets(settings.pages, settings.pages_per_set).get_partition_keys()
    return tables.read_page_sets(lake, QUARANTINE, tables.stored_page_sets(lake, QUARANTINE, [*keys, LANDED]))
