"""Parquet tables of the lake: written whole, read back. Their columns stand in `schema`, their rows come from
elsewhere.

A file says in its schema metadata what it was made from, as a digest: so it can be told from the lake alone whether a
table is up to date with the pages below it.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, LakeUnreachable, Storage
from neo_assets.schema import Table

_MADE_FROM = b"made_from"
_PARQUET = ds.ParquetFileFormat()
_FOOTER_BYTES = 64 << 10  # ours have 3 to 6 KB


@dataclass(frozen=True)
class WrittenTable:
    """What a write left: where, how many rows and bytes, and the SHA-256 of the file."""

    location: str
    rows: int
    bytes: int
    sha256: str


def digest(parts: Iterable[str]) -> str:
    """One digest of several, in their order: what a table was made from."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def made_from(data: pa.Table | ds.Dataset) -> str:
    """What a table says it was made from; empty where it says nothing."""
    return _origin(data.schema)


def with_origin(rows: pa.Table, origin: str) -> pa.Table:
    """The rows, saying what they were made from."""
    return rows.replace_schema_metadata({_MADE_FROM: origin})


def write_table(storage: Storage, table: Table, rows: pa.Table, page_set: str | None = None) -> WrittenTable:
    """Write a table's file, of one page set or of them all; the same rows give the same bytes.

    Raises:
        ValueError: the rows are not of the table's schema.
        LakeError: it cannot be written; the file that stood there still stands.
    """
    if not rows.schema.remove_metadata().equals(table.schema, check_metadata=True):
        raise ValueError(f"{table.name} has the schema\n{table.schema}\nand not\n{rows.schema}")
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    data = sink.getvalue()
    path = layout.table_file(table, page_set)
    storage.write(path, data, remember=True)
    return WrittenTable(storage.location(path), rows.num_rows, data.size, hashlib.sha256(data).hexdigest())


def read_table(storage: Storage, table: Table, page_set: str | None = None) -> pa.Table:
    """A table's file, whole, of one page set or of them all.

    Raises:
        LakeError: it is missing or damaged.
    """
    return _read(storage, table, page_set, partial(storage.read, remember=True))


def read_origin(storage: Storage, table: Table, page_set: str) -> str:
    """What a page set's file was made from, without reading its rows. Raises as `read_table` does."""
    with _explained(storage, table, page_set) as path:
        return _origin(pq.read_schema(pa.BufferReader(storage.read_tail(path, _FOOTER_BYTES, remember=True))))


def read_origins(storage: Storage, table: Table, page_sets: Sequence[str]) -> list[str]:
    """What the files of these page sets were made from, empty where one is missing or damaged.

    For small tables: on S3 a file that this process has read or written, and that nobody has changed since, is not read
    again.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    read = storage.reader([layout.table_file(table, key) for key in page_sets])

    def origin(page_set: str) -> str:
        try:
            return made_from(_read(storage, table, page_set, read))
        except LakeUnreachable:
            raise
        except LakeError:
            return ""

    return list(storage.each(origin, page_sets))


def read_page_sets(storage: Storage, table: Table, page_sets: Sequence[str]) -> pa.Table:
    """The files of these page sets as one table with a column `page_set`; made from all that they were made from.

    For small tables, as `read_origins`.

    Raises:
        LakeError: one of them is missing or damaged.
    """
    read = storage.reader([layout.table_file(table, key) for key in page_sets])
    parts = list(storage.each(lambda key: _read(storage, table, key, read), page_sets))
    keyed = [
        part.append_column("page_set", pa.repeat(key, part.num_rows)).replace_schema_metadata()
        for key, part in zip(page_sets, parts, strict=True)
    ]
    none = table.schema.append(pa.field("page_set", pa.string())).empty_table()
    # Files of earlier versions lack the columns that came later.
    return with_origin(pa.concat_tables([none, *keyed], promote_options="default"), digest(map(made_from, parts)))


def open_table(storage: Storage, table: Table, page_set: str) -> ds.Dataset:
    """A page set's file as a dataset: its bytes are read at once, its rows and columns as they are asked for.

    Raises:
        LakeError: it is missing or damaged.
    """
    fragment = _open(storage, table, page_set)
    return ds.FileSystemDataset([fragment], fragment.physical_schema, _PARQUET)


def open_page_sets(storage: Storage, table: Table, page_sets: Iterable[str]) -> ds.Dataset:
    """The files of these page sets, maybe none, as one dataset with a column `page_set`.

    Raises:
        LakeError: one of them is missing or damaged.
    """
    schema = table.schema.append(pa.field("page_set", pa.string()))
    fragments = list(storage.each(lambda key: _open(storage, table, key, pc.field("page_set") == key), page_sets))
    return ds.FileSystemDataset(fragments, schema, _PARQUET)


def stored_page_sets(storage: Storage, table: Table, page_sets: Iterable[str]) -> list[str]:
    """Those of the page sets that the table has a file of, in the order given."""
    stored = {layout.page_set_of(info.path) for info in storage.files(layout.table_root(table))}
    return [key for key in page_sets if key in stored]


def _read(storage: Storage, table: Table, page_set: str | None, read: Callable[[str], pa.Buffer]) -> pa.Table:
    with _explained(storage, table, page_set) as path:
        return pq.ParquetFile(pa.BufferReader(read(path))).read()


def _open(storage: Storage, table: Table, page_set: str, holds: pc.Expression | None = None) -> ds.ParquetFileFragment:
    with _explained(storage, table, page_set) as path:
        fragment = _PARQUET.make_fragment(pa.BufferReader(storage.read(path)), partition_expression=holds)
        fragment.ensure_complete_metadata()
    return fragment


def _origin(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(_MADE_FROM, b"").decode())


@contextlib.contextmanager
def _explained(storage: Storage, table: Table, page_set: str | None) -> Iterator[str]:
    """The path of a table's file; what goes wrong while it is read is told in one line."""
    path = layout.table_file(table, page_set)
    again = f"materialize {table.asset or table.name}" + (f" for page set {page_set}" if page_set else "")
    try:
        yield path
    except FileNotFoundError:
        raise LakeError(f"{storage.location(path)} is missing: {again} first, or run `neo run`") from None
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"{storage.location(path)} is damaged ({error}): delete it and {again} again") from None
