"""Parquet tables of the lake, written and read. `schema` defines their columns; `pipeline` computes their rows.

Each file carries its origin, a digest of everything it was made from, in its schema metadata, so the lake alone shows
whether a table is up to date. Beside it is the source of the lake's data: `nasa` or `simulator`.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from neo_assets.lake import layout, mark
from neo_assets.lake.storage import LakeDamaged, LakeError, LakeLacks, LakeUnreachable, Storage, md5
from neo_assets.schema.columns import Table
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS

_MADE_FROM = "made_from"
SOURCE = "source"
"""Name of the fact where a table's data come from: `nasa` or `simulator`."""
_FOR_SPARK = {"org.apache.spark.version": "3.5.0"}
"""Tells Spark 3 that times are in the calendar of today. Without it, Spark refuses files with a time before 1900, which
Spark 2 would have written in another calendar (`DataSourceUtils.getRebaseSpec` in the source of Spark 3.5).
"""
_FOOTER_BYTES = 64 << 10  # the footers of these tables have 3 to 6 KB

_LARGE = {table.name for table in (NEO_RECORDS, ORBITS, CLOSE_APPROACHES)}
"""Tables whose files are not kept in memory. Files of others are small, and the process that wrote them reads them for
totals, checks and verdicts.
"""

Found = TypeVar("Found")


@dataclass(frozen=True)
class WrittenTable:
    """The result of a write: location, number of rows and bytes, and the file's SHA-256."""

    location: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Files:
    """A table's files for some page sets, as their footers describe them."""

    locations: Mapping[str, str]
    """The full path or S3 URL of each page set's file."""
    rows: int
    """Number of rows in all of them."""
    made_from: str
    """Their combined origin."""


def digest(parts: Iterable[str]) -> str:
    """One digest of several strings, in order: the origin of a table."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def made_from(data: pa.Table) -> str:
    """A table's origin; empty if it carries none."""
    return fact(data, _MADE_FROM)


def fact(data: pa.Table, name: str) -> str:
    """A fact that a table's file carries beside its rows; empty if it lacks it."""
    return _fact(data.schema, name)


def with_origin(rows: pa.Table, origin: str, **facts: str) -> pa.Table:
    """The same rows, carrying this origin, and further facts if given."""
    return rows.replace_schema_metadata({_MADE_FROM: origin} | facts)


def write_table(storage: Storage, table: Table, rows: pa.Table, page_set: str | None = None) -> WrittenTable:
    """Write a table's file, for one page set or for the whole lake. The same rows always produce the same bytes.

    Raises:
        ValueError: the rows do not have the table's schema.
        LakeError: it cannot be written; an older file is left as it was.
    """
    return write_file(storage, table, rows, layout.table_file(table, page_set))


def write_file(storage: Storage, table: Table, rows: pa.Table, path: str) -> WrittenTable:
    """Write a file of a table to a path of its own. Otherwise like `write_table`."""
    data = parquet(storage, table, rows)
    _remember(storage, table, path, storage.write(path, data), made_from(rows), data)
    return WrittenTable(storage.location(path), rows.num_rows, data.size, hashlib.sha256(data).hexdigest())


def parquet(storage: Storage, table: Table, rows: pa.Table) -> pa.Buffer:
    """The file of a table with these rows, which names the source of the lake's data.

    Raises:
        ValueError: the rows do not have the table's schema.
    """
    if not rows.schema.remove_metadata().equals(table.schema, check_metadata=True):
        raise ValueError(f"{table.name} has the schema\n{table.schema}\nbut the rows have\n{rows.schema}")
    facts = {SOURCE: mark.last_read(storage) or "unknown", **_FOR_SPARK}
    marked = rows.replace_schema_metadata((rows.schema.metadata or {}) | facts)
    sink = pa.BufferOutputStream()
    pq.write_table(marked, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def read_table(storage: Storage, table: Table, page_set: str | None = None) -> pa.Table:
    """Read a table's file, for one page set or for the whole lake.

    Raises:
        LakeError: it is missing or damaged.
    """
    return _read(storage, table, page_set)


def read_found(storage: Storage, table: Table, page_sets: Sequence[str]) -> dict[str, pa.Table]:
    """Read a table's files for some page sets, without missing or damaged ones.

    On S3, remembered files are not read again.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    recalled = _recall(storage, table, page_sets)
    found = storage.each(lambda key: _none_if_bad(lambda: _read(storage, table, key, recalled)), page_sets)
    return {key: rows for key, rows in zip(page_sets, found, strict=True) if rows is not None}


def read_page_sets(
    storage: Storage, table: Table, page_sets: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a table's files for some page sets as one table, with a column `page_set` and a combined origin.

    On S3, remembered files are not read again.

    Args:
        storage: the lake.
        table: the table.
        page_sets: keys of the page sets; there may be none.
        columns: the columns to read; all if omitted.

    Raises:
        LakeError: one of them is missing or damaged.
    """
    recalled = _recall(storage, table, page_sets)
    parts = storage.each(lambda key: _read(storage, table, key, recalled, columns), page_sets)
    return combined(table, dict(zip(page_sets, parts, strict=True)), columns)


def combined(table: Table, parts: Mapping[str, pa.Table], columns: Sequence[str] | None = None) -> pa.Table:
    """A table's files for several page sets as one table, with a column `page_set` and a combined origin."""
    keyed = [
        part.append_column("page_set", pa.repeat(key, part.num_rows)).replace_schema_metadata()
        for key, part in parts.items()
    ]
    fields = [table.schema.field(name) for name in columns or table.schema.names]
    empty = pa.schema([*fields, pa.field("page_set", pa.string())]).empty_table()
    # Files written by earlier versions lack newer columns, which "default" fills with nulls.
    rows = pa.concat_tables([empty, *keyed], promote_options="default")
    return with_origin(rows, digest(map(made_from, parts.values())))


def combined_origin(storage: Storage, table: Table, page_sets: Sequence[str], whole: bool = True) -> str:
    """The origin that `read_page_sets` gives, without reading the rows; missing and damaged files change it.

    See `read_origins` for `whole`.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    return digest(read_origins(storage, table, page_sets, whole))


def read_origins(storage: Storage, table: Table, page_sets: Sequence[str], whole: bool = True) -> list[str]:
    """The origins of a table's files for these page sets; empty for a missing or damaged file.

    On disk each file is read whole to detect damage, unless `whole` is false. S3 protects objects from damage itself,
    so only the footer is read, and nothing if the file is remembered.

    Raises:
        LakeUnreachable: the lake does not answer.
    """
    recalled = _recall(storage, table, page_sets)
    read = _read_whole_origin if storage.is_local and whole else _read_origin

    def origin(page_set: str) -> str:
        if known := recalled.get(layout.table_file(table, page_set)):
            return known.origin
        return _none_if_bad(lambda: read(storage, table, page_set)) or ""

    return list(storage.each(origin, page_sets))


def files(storage: Storage, table: Table, page_sets: Sequence[str]) -> Files:
    """A table's files for some page sets, for programs that read them by themselves. Only the footers are read.

    Raises:
        LakeError: one of them is missing or damaged.
    """
    footers = list(storage.each(lambda key: _read_footer(storage, table, key), page_sets))
    origins = [_named(footer.metadata, _MADE_FROM) for footer in footers]
    locations = {key: storage.location(layout.table_file(table, key)) for key in page_sets}
    return Files(locations, sum(footer.num_rows for footer in footers), digest(origins))


def null_counts(storage: Storage, table: Table, page_sets: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Number of a table's rows in these page sets, and in how many of them each column is null.

    Only the footers are read. A column that a file lacks is null in all its rows.

    Raises:
        LakeError: a file is missing or damaged.
    """
    rows, nulls = 0, dict.fromkeys(table.schema.names, 0)
    for in_file, found in storage.each(lambda key: _read_null_counts(storage, table, key), page_sets):
        rows += in_file
        nulls = {name: number + found.get(name, in_file) for name, number in nulls.items()}
    return rows, nulls


def stored_page_sets(storage: Storage, table: Table, page_sets: Iterable[str]) -> list[str]:
    """The page sets, of those given, for which the table has a file; in the given order."""
    stored = set(every_page_set(storage, table))
    return [key for key in page_sets if key in stored]


def every_page_set(storage: Storage, table: Table) -> list[str]:
    """The page sets for which the table has a file, those of former settings too."""
    found = (layout.page_set_of(info.path, table) for info in storage.files(layout.table_root(table)))
    return [key for key in found if key is not None]


@dataclass(frozen=True)
class _Remembered:
    """What a process remembers of a file on S3 that it has read or written."""

    origin: str
    file: pa.Buffer | None
    """The whole file, if it is of a page set and not large."""


def _remember(storage: Storage, table: Table, path: str, digest: str, origin: str, data: bytes | pa.Buffer) -> None:
    file = pa.py_buffer(data) if table.partitioned and table.name not in _LARGE else None
    storage.remember(path, digest, _Remembered(origin, file))


def _recall(storage: Storage, table: Table, page_sets: Iterable[str]) -> dict[str, _Remembered]:
    return storage.recall([layout.table_file(table, key) for key in page_sets])


def _none_if_bad(read: Callable[[], Found]) -> Found | None:
    """What `read` returns; None if the file is missing or damaged."""
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
    if not known and not storage.is_local:  # on disk nothing is remembered, so the digest would be wasted
        _remember(storage, table, path, md5(data), made_from(rows), data)
    return rows


def _read_whole_origin(storage: Storage, table: Table, page_set: str) -> str:
    return made_from(_read(storage, table, page_set))


def _read_origin(storage: Storage, table: Table, page_set: str) -> str:
    with _explained(storage, table, page_set) as path:
        tail = storage.read_tail(path, _FOOTER_BYTES)
        origin = _fact(pq.read_schema(pa.BufferReader(tail)), _MADE_FROM)
    if len(tail) < _FOOTER_BYTES:  # then the tail is the whole file
        _remember(storage, table, path, md5(tail), origin, tail)
    return origin


def _read_null_counts(storage: Storage, table: Table, page_set: str) -> tuple[int, dict[str, int]]:
    footer = _read_footer(storage, table, page_set)
    nulls: Counter[str] = Counter()
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            nulls[column.path_in_schema] += column.statistics.null_count
    return footer.num_rows, nulls


def _read_footer(storage: Storage, table: Table, page_set: str) -> pq.FileMetaData:
    with _explained(storage, table, page_set) as path:
        return pq.read_metadata(pa.BufferReader(storage.read_tail(path, _FOOTER_BYTES)))


def _fact(schema: pa.Schema, name: str) -> str:
    return _named(schema.metadata, name)


def _named(metadata: Mapping[bytes, bytes] | None, name: str) -> str:
    return (metadata or {}).get(name.encode(), b"").decode(errors="replace")


@contextlib.contextmanager
def _explained(storage: Storage, table: Table, page_set: str | None) -> Iterator[str]:
    """Yields the path of a table's file, and turns errors from reading it into one line."""
    path = layout.table_file(table, page_set)
    asset = (table.asset or table.name) + (f" for page set {page_set}" if page_set else "")
    remedy = f"materialize {'landed_objects' if page_set == LANDED else asset}"
    try:
        yield path
    except FileNotFoundError:
        raise LakeLacks(f"{storage.location(path)} is missing: run `neo run`, or {remedy}") from None
    except (pa.ArrowException, OSError) as error:
        raise LakeDamaged(
            f"{storage.location(path)} is damaged ({error}): run `neo run`, which makes it again, or {remedy}"
        ) from None
