"""Parquet tables of the lake: written whole, read back. Their columns stand in `schema`, their rows come from
elsewhere.

A file says in its schema metadata what it was made from, as a digest: so it can be told from the lake alone whether a
table is up to date with the pages below it.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeDamaged, LakeError, LakeLacks, LakeUnreachable, Storage, md5
from neo_assets.schema.tables import (
    NEAR_MISS_COUNT,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
    YEARLY_APPROACHES,
    Table,
)

_MADE_FROM = b"made_from"
_FOOTER_BYTES = 64 << 10  # ours have 3 to 6 KB

_SUMMED_UP = {table.name for table in (RAW_PAGE_INDEX, NEO_SIGHTINGS, QUARANTINE, NEAR_MISS_COUNT, YEARLY_APPROACHES)}
"""Small tables that are read for totals, checks and verdicts, in the process that wrote them too."""

Found = TypeVar("Found")


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


def made_from(data: pa.Table) -> str:
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
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue()
    path = layout.table_file(table, page_set)
    _remember(storage, table, path, storage.write(path, data), made_from(rows), data)
    return WrittenTable(storage.location(path), rows.num_rows, data.size, hashlib.sha256(data).hexdigest())


def read_table(storage: Storage, table: Table, page_set: str | None = None) -> pa.Table:
    """A table's file, whole, of one page set or of them all.

    Raises:
        LakeError: it is missing or damaged.
    """
    return _read(storage, table, page_set)


def read_found(storage: Storage, table: Table, page_sets: Sequence[str]) -> dict[str, pa.Table]:
    """The files of those page sets that have one, and whole. What is remembered on S3 is not read again.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    recalled = _recall(storage, table, page_sets)
    found = storage.each(lambda key: _where_whole(lambda: _read(storage, table, key, recalled)), page_sets)
    return {key: rows for key, rows in zip(page_sets, found, strict=True) if rows is not None}


def read_page_sets(
    storage: Storage, table: Table, page_sets: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """The files of these page sets, maybe none, as one table with a column `page_set`; its origin is that of them all.

    What is remembered on S3 is not read again.

    Args:
        storage: the lake.
        table: which table.
        page_sets: whose files.
        columns: those that are needed, if not all.

    Raises:
        LakeError: one of them is missing or damaged.
    """
    recalled = _recall(storage, table, page_sets)
    parts = list(storage.each(lambda key: _read(storage, table, key, recalled, columns), page_sets))
    keyed = [
        part.append_column("page_set", pa.repeat(key, part.num_rows)).replace_schema_metadata()
        for key, part in zip(page_sets, parts, strict=True)
    ]
    fields = [table.schema.field(name) for name in columns or table.schema.names]
    none = pa.schema([*fields, pa.field("page_set", pa.string())]).empty_table()
    # Files of earlier versions lack the columns that came later.
    return with_origin(pa.concat_tables([none, *keyed], promote_options="default"), digest(map(made_from, parts)))


def read_origins(storage: Storage, table: Table, page_sets: Sequence[str]) -> list[str]:
    """What the files of these page sets were made from; empty where one is missing or damaged.

    On disk each is read whole, so that damage is noticed. On S3, which sees to that itself, only its end is, and what
    is remembered is not read again.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    recalled = _recall(storage, table, page_sets)
    read = _read_whole_origin if storage.is_local else _read_origin

    def origin(page_set: str) -> str:
        if known := recalled.get(layout.table_file(table, page_set)):
            return known.origin
        return _where_whole(lambda: read(storage, table, page_set)) or ""

    return list(storage.each(origin, page_sets))


def stored_page_sets(storage: Storage, table: Table, page_sets: Iterable[str]) -> list[str]:
    """Those of the page sets that the table has a file of, in the order given."""
    stored = {layout.page_set_of(info.path, table) for info in storage.files(layout.table_root(table))}
    return [key for key in page_sets if key in stored]


@dataclass(frozen=True)
class _Remembered:
    """What a process keeps of a file on S3 that it has read or written."""

    origin: str
    file: pa.Buffer | None
    """The file itself, if it is one of those that are summed up."""


def _remember(storage: Storage, table: Table, path: str, digest: str, origin: str, data: bytes | pa.Buffer) -> None:
    file = pa.py_buffer(data) if table.name in _SUMMED_UP else None
    storage.remember(path, digest, _Remembered(origin, file))


def _recall(storage: Storage, table: Table, page_sets: Iterable[str]) -> dict[str, _Remembered]:
    return storage.recall([layout.table_file(table, key) for key in page_sets])


def _where_whole(read: Callable[[], Found]) -> Found | None:
    try:
        return read()
    except LakeUnreachable:
        raise
    except LakeError:
        return None


def _read(
    storage: Storage,
    table: Table,
    page_set: str | None,
    recalled: Mapping[str, _Remembered] = MappingProxyType({}),
    columns: Sequence[str] | None = None,
) -> pa.Table:
    with _explained(storage, table, page_set) as path:
        known = recalled.get(path)
        data = known.file if known and known.file is not None else storage.read(path)
        rows = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(columns)
    if not known and not storage.is_local:  # where nothing is remembered no digest is needed
        _remember(storage, table, path, md5(data), made_from(rows), data)
    return rows


def _read_whole_origin(storage: Storage, table: Table, page_set: str) -> str:
    return made_from(_read(storage, table, page_set))


def _read_origin(storage: Storage, table: Table, page_set: str) -> str:
    with _explained(storage, table, page_set) as path:
        tail = storage.read_tail(path, _FOOTER_BYTES)
        origin = _origin(pq.read_schema(pa.BufferReader(tail)))
    if len(tail) < _FOOTER_BYTES:  # the file is no longer than that
        _remember(storage, table, path, md5(tail), origin, tail)
    return origin


def _origin(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(_MADE_FROM, b"").decode(errors="replace"))


@contextlib.contextmanager
def _explained(storage: Storage, table: Table, page_set: str | None) -> Iterator[str]:
    """The path of a table's file; what goes wrong while it is read is told in one line."""
    path = layout.table_file(table, page_set)
    made_by = f"materialize {table.asset or table.name}" + (f" for page set {page_set}" if page_set else "")
    try:
        yield path
    except FileNotFoundError:
        raise LakeLacks(f"{storage.location(path)} is missing: run `neo run`, or {made_by}") from None
    except (pa.ArrowException, OSError) as error:
        raise LakeDamaged(
            f"{storage.location(path)} is damaged ({error}): delete it and run `neo run`, or {made_by}"
        ) from None
