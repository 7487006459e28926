"""Parquet tables: exactly the schema's columns, the same bytes for the same rows, and only the page sets asked for."""

import contextlib
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, TOTAL_NEAR_MISSES
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import QUARANTINE, TABLES

FIRST, SECOND, THIRD = "00000-00001", "00002-00003", "00004-00005"

VALUES: dict[pa.DataType, Any] = {
    pa.string(): "the Earth’s",
    pa.int32(): 7,
    pa.int64(): 2**40,
    pa.float64(): 0.1,
    pa.bool_(): True,
    pa.date32(): date(1899, 12, 31),
    pa.timestamp("ms"): datetime(2021, 5, 24, 17, 55, 5),
    pa.timestamp("ms", "UTC"): datetime(2200, 12, 31, 23, 59, tzinfo=UTC),
    pa.timestamp("us", "UTC"): datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
}


def example(table: Table) -> pa.Table:
    """Two rows: one full, one with all nulls that the table allows."""
    full = {field.name: VALUES[field.type] for field in table.schema}
    bare = {field.name: None if field.nullable else VALUES[field.type] for field in table.schema}
    return pa.Table.from_pylist([full, bare], schema=table.schema)


def counts(**near_misses: int) -> pa.Table:
    rows = [{"orbiting_body": body, "near_misses": number} for body, number in near_misses.items()]
    return pa.Table.from_pylist(rows, schema=NEAR_MISS_COUNT.schema)


def write_counts(lake: Storage, *page_sets: str) -> None:
    for number, page_set in enumerate(page_sets):
        rows = tables.with_origin(counts(Earth=number, Venus=10 + number), f"pages of {page_set}")
        tables.write_table(lake, NEAR_MISS_COUNT, rows, page_set)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_is_read_back_with_its_field_metadata(lake: Storage, table: Table) -> None:
    page_set = FIRST if table.partitioned else None
    written = tables.write_table(lake, table, example(table), page_set)
    read = tables.read_table(lake, table, page_set)
    assert read.equals(example(table))
    assert read.schema.remove_metadata().equals(table.schema, check_metadata=True)
    assert written.location == lake.location(layout.table_file(table, page_set))
    assert (written.rows, written.bytes) == (2, lake.read(layout.table_file(table, page_set)).size)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_the_same_rows_give_the_same_bytes(lake: Storage, table: Table) -> None:
    page_set = FIRST if table.partitioned else None
    rows = example(table)
    in_chunks = pa.concat_tables([rows.slice(0, 1), rows.slice(1)])
    digests = {tables.write_table(lake, table, same, page_set).sha256 for same in (rows, example(table), in_chunks)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "rows",
    [
        counts(Earth=1).rename_columns(["body", "near_misses"]),
        counts(Earth=1).select(["near_misses", "orbiting_body"]),
        counts(Earth=1).append_column("more", pa.array([1])),
        counts(Earth=1).cast(pa.schema([("orbiting_body", pa.string()), ("near_misses", pa.int64())])),
        pa.table({"orbiting_body": ["Earth"], "near_misses": pa.array([1], pa.int32())}),
    ],
    ids=["name", "order", "one too many", "no descriptions", "type"],
)
def test_rows_of_another_schema_are_refused(lake: Storage, rows: pa.Table) -> None:
    with pytest.raises(ValueError, match="near_miss_count has the schema"):
        tables.write_table(lake, NEAR_MISS_COUNT, rows, FIRST)
    assert lake.files("") == []


def test_a_table_carries_its_origin(lake: Storage) -> None:
    write_counts(lake, FIRST)
    assert tables.made_from(tables.read_table(lake, NEAR_MISS_COUNT, FIRST)) == f"pages of {FIRST}"
    assert tables.read_origins(lake, NEAR_MISS_COUNT, [FIRST]) == [f"pages of {FIRST}"]


def test_a_table_without_an_origin(lake: Storage) -> None:
    tables.write_table(lake, NEAR_MISS_COUNT, counts(Earth=1), FIRST)
    assert tables.read_origins(lake, NEAR_MISS_COUNT, [FIRST]) == [""]


def test_a_digest_depends_on_parts_and_their_order() -> None:
    assert tables.digest(["a", "b"]) == tables.digest(iter(["a", "b"]))
    assert len({tables.digest(parts) for parts in (["a", "b"], ["b", "a"], ["a"], ["ab"], [])}) == 5


def test_several_page_sets_are_read_as_one_table(lake: Storage) -> None:
    write_counts(lake, FIRST, SECOND)
    read = tables.read_page_sets(lake, NEAR_MISS_COUNT, [FIRST, SECOND])
    assert read.to_pydict() == {
        "orbiting_body": ["Earth", "Venus"] * 2,
        "near_misses": [0, 10, 1, 11],
        "page_set": [FIRST, FIRST, SECOND, SECOND],
    }
    assert tables.made_from(read) == tables.digest([f"pages of {FIRST}", f"pages of {SECOND}"])


def test_page_sets_that_were_not_asked_for_are_not_read(lake: Storage) -> None:
    write_counts(lake, FIRST, SECOND, THIRD)
    assert set(tables.read_page_sets(lake, NEAR_MISS_COUNT, [FIRST, THIRD])["page_set"].to_pylist()) == {FIRST, THIRD}


def test_only_the_columns_that_are_needed_are_read(lake: Storage) -> None:
    write_counts(lake, FIRST)
    read = tables.read_page_sets(lake, NEAR_MISS_COUNT, [FIRST], ["near_misses"])
    assert read.to_pydict() == {"near_misses": [0, 10], "page_set": [FIRST, FIRST]}


def test_without_page_sets_the_table_has_no_rows(lake: Storage) -> None:
    nothing = tables.read_page_sets(lake, NEAR_MISS_COUNT, [])
    assert nothing.num_rows == 0
    assert nothing.schema.names == ["orbiting_body", "near_misses", "page_set"]


def test_stored_page_sets_are_returned_in_the_order_asked(lake: Storage) -> None:
    write_counts(lake, FIRST, THIRD)
    assert tables.stored_page_sets(lake, NEAR_MISS_COUNT, [THIRD, SECOND, FIRST]) == [THIRD, FIRST]
    assert tables.stored_page_sets(lake, QUARANTINE, [FIRST]) == []


READERS = [
    lambda lake: tables.read_table(lake, NEAR_MISS_COUNT, FIRST),
    lambda lake: tables.read_page_sets(lake, NEAR_MISS_COUNT, [FIRST]),
]
EACH_READER = pytest.mark.parametrize("read", READERS, ids=["read_table", "read_page_sets"])


@EACH_READER
def test_a_missing_file_is_reported_with_the_way_out(lake: Storage, read: Any) -> None:
    with pytest.raises(LakeError) as caught:
        read(lake)
    assert str(caught.value).startswith(
        f"{lake.root}/gold/near_miss_count/page_set={FIRST}/data.parquet is missing: "
        f"run `neo run`, or materialize near_miss_count for page set {FIRST}"
    )
    assert tables.read_found(lake, NEAR_MISS_COUNT, [FIRST]) == {}
    assert tables.read_origins(lake, NEAR_MISS_COUNT, [FIRST]) == [""]


def test_a_missing_total_is_reported_with_the_way_out(lake: Storage) -> None:
    with pytest.raises(
        LakeError,
        match=r"/gold/total_near_misses/data\.parquet is missing: run `neo run`, or materialize total",
    ):
        tables.read_table(lake, TOTAL_NEAR_MISSES)


def test_a_missing_table_of_the_landed_objects_names_their_asset(lake: Storage) -> None:
    with pytest.raises(LakeError, match=r"run `neo run`, or materialize landed_objects$"):
        tables.read_table(lake, NEAR_MISS_COUNT, LANDED)


@EACH_READER
@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>" * 100, None], ids=["empty", "short", "html", "truncated"])
def test_a_damaged_file_is_reported_with_the_way_out(lake: Storage, read: Any, content: bytes | None) -> None:
    write_counts(lake, FIRST)
    file = layout.table_file(NEAR_MISS_COUNT, FIRST)
    lake.write(file, lake.read(file)[:-20] if content is None else content)
    with pytest.raises(LakeError) as caught:
        read(lake)
    assert str(caught.value).startswith(f"{lake.location(file)} is damaged (")
    way_out = f": run `neo run`, which makes it again, or materialize near_miss_count for page set {FIRST}"
    assert str(caught.value).endswith(way_out)
    assert tables.read_found(lake, NEAR_MISS_COUNT, [FIRST]) == {}
    assert tables.read_origins(lake, NEAR_MISS_COUNT, [FIRST]) == [""]


def test_a_changed_byte_never_causes_another_error(lake: Storage) -> None:
    write_counts(lake, FIRST)
    file = layout.table_file(NEAR_MISS_COUNT, FIRST)
    whole = lake.read(file).to_pybytes()
    for place in range(0, len(whole), 5 if lake.is_local else 25):
        lake.write(file, whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(LakeError):
            tables.read_table(lake, NEAR_MISS_COUNT, FIRST)
        tables.read_origins(lake, NEAR_MISS_COUNT, [FIRST])


def test_a_changed_byte_in_the_rows_is_detected(lake: Storage) -> None:
    write_counts(lake, FIRST)
    file = layout.table_file(NEAR_MISS_COUNT, FIRST)
    whole = lake.read(file).to_pybytes()
    rows = tables.read_table(lake, NEAR_MISS_COUNT, FIRST)
    footer = int.from_bytes(whole[-8:-4], "little")
    for place in range(4, len(whole) - 8 - footer, 1 if lake.is_local else 5):
        lake.write(file, whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(LakeError):
            assert tables.read_table(lake, NEAR_MISS_COUNT, FIRST).equals(rows), place


def test_files_describe_their_columns_to_other_programs(lake: Storage) -> None:
    written = tables.write_table(lake, QUARANTINE, example(QUARANTINE), FIRST)
    field = pq.read_schema(written.location).field("reason")
    assert field.metadata[b"description"] == b"Field that could not be read, and why."


def test_spark_3_reads_approaches_before_1900_as_they_are(lake: Storage) -> None:
    """Without this version, it raises READ_ANCIENT_DATETIME for the whole file (tried with Spark 3.5.6)."""
    for table in TABLES.values():
        key = FIRST if table.partitioned else None
        tables.write_table(lake, table, table.schema.empty_table(), key)
        file = pq.ParquetFile(pa.BufferReader(lake.read(layout.table_file(table, key))))
        assert file.metadata.metadata[b"org.apache.spark.version"] >= b"3.1.0", table.name
        assert b"org.apache.spark.legacyDateTime" not in file.metadata.metadata


def test_arrow_gives_back_what_is_freed() -> None:
    """Its own allocator does not: that made a fifth of the peak memory of `neo run`."""
    program = "import neo_assets.lake.tables, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert printed == "system\n"
