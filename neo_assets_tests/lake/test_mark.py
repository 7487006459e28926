"""The lake's mark: written once, by one of several writers, and named by every table's file."""

import pyarrow.parquet as pq
import pytest

from neo_assets.lake import layout, mark, tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.tables import TABLES

MARK = "lake.json"


def test_the_first_mark_stays(lake: Storage) -> None:
    assert mark.read(lake) is None
    assert mark.write(lake, "simulator")
    assert not mark.write(lake, "nasa")
    assert mark.read(Storage(lake.root)) == "simulator"


def test_a_lake_that_was_deleted_and_begun_again_is_not_taken_for_the_old_one(lake: Storage) -> None:
    """As when the UI stays open meanwhile."""
    mark.write(lake, "simulator")
    assert mark.read(lake) == "simulator"
    lake.delete(MARK)
    assert mark.read(lake) is None
    assert mark.write(Storage(lake.root), "nasa")
    assert mark.read(lake) == mark.last_read(lake) == "nasa"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"source": null}', b'{"source": "mars"}'])
def test_a_damaged_mark_is_none_and_is_written_again(lake: Storage, content: bytes) -> None:
    lake.write(MARK, content)
    assert mark.read(lake) is None
    assert mark.write(lake, "nasa")
    assert mark.read(Storage(lake.root)) == "nasa"


@pytest.mark.parametrize("name", TABLES)
def test_the_file_of_every_table_names_the_source(lake: Storage, name: str) -> None:
    mark.write(lake, "simulator")
    table = TABLES[name]
    page_set = "00000-00001" if table.partitioned else None
    rows = tables.with_origin(table.schema.empty_table(), "an origin")
    tables.write_table(lake, table, rows, page_set)
    metadata = pq.ParquetFile(lake.open(layout.table_file(table, page_set))).metadata.metadata
    assert (metadata[b"source"], metadata[b"made_from"]) == (b"simulator", b"an origin")
