"""`neo.duckdb`: the whole catalogue in one file, and its two main tables as Parquet beside it. What they hold is
decided in `contents`, what the views show in `views/*.sql`, what the columns mean in `dictionary`.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, LakeLacks, Storage
from neo_assets.lake.tables import digest, parquet
from neo_assets.pipeline.text import one_line
from neo_assets.products import index
from neo_assets.products.comments import literal, mark, of_column
from neo_assets.products.contents import Contents
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.views import views
from neo_assets.schema.products import DICTIONARY, NEOS, ONE_SNAPSHOT
from neo_assets.schema.tables import CLOSE_APPROACHES

_Config = dict[str, str | bool | int | float | list[str]]

DATABASE, NEOS_FILE, APPROACHES_FILE = "neo.duckdb", "neos.parquet", "close_approaches.parquet"

STORAGE_VERSION = "v1.4.0"
"""The oldest DuckDB that reads the file. 1.4 was the release with long-term support in 2025 and 2026."""

_TO_READ_IT: _Config = {"temp_directory": str(Path(tempfile.gettempdir()) / f"neo_assets-{os.getpid()}")}
"""Where DuckDB puts what does not fit into memory: not into the lake. All connections of a process must agree on it."""

_TO_MAKE_IT = _TO_READ_IT | {"threads": 1, "memory_limit": "400MB"}


def to_make(lake: Storage, contents: Contents) -> list[str]:
    """Those of the three files that are missing, damaged, or made from something else; by name."""
    return [name for name, origin in _origins(contents).items() if not index.current(lake, name, origin)]


def make(lake: Storage, contents: Contents) -> dict[str, index.Made]:
    """Make those of the three files that are not up to date.

    The same input gives the same bytes of Parquet, but not of the database: DuckDB draws an identifier for each file at
    random, and leaves some bytes uninitialised. So a database is kept while its origin is the same.

    Returns:
        All three, by name.

    Raises:
        NotOneState: page sets changed while they were read.
        LakeError: the lake cannot be read or written.
    """
    origins = _origins(contents)
    made = {name: one for name, origin in origins.items() if (one := index.current(lake, name, origin))}
    if made.keys() == origins.keys():
        return made
    rows = {NEOS: contents.neos(), CLOSE_APPROACHES: contents.close_approaches()}
    for name, table in ((NEOS_FILE, NEOS), (APPROACHES_FILE, CLOSE_APPROACHES)):
        if name not in made:
            made[name] = index.store(lake, name, parquet(lake, table, rows[table]), origins[name], rows[table].num_rows)
    pa.default_memory_pool().release_unused()  # to make room for DuckDB, which has a memory of its own
    if DATABASE not in made:
        with tempfile.TemporaryDirectory() as folder:
            built = Path(folder) / DATABASE
            try:
                number = _build(built, contents, {table.name: rows[table] for table in rows})
            except duckdb.Error as error:
                raise LakeError(f"{DATABASE} cannot be made: {one_line(str(error))}") from None
            with pa.memory_map(str(built)) as mapped:
                made[DATABASE] = index.store(lake, DATABASE, mapped.read_buffer(), origins[DATABASE], number)
    return made


@contextlib.contextmanager
def opened(lake: Storage) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the stored database that cannot write; a database on S3 is downloaded for it.

    Raises:
        LakeLacks: it has not been made yet.
        LakeError: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        file = Path(lake.location(layout.product(DATABASE)))
        if not lake.is_local:
            file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / DATABASE
            try:
                file.write_bytes(lake.read(layout.product(DATABASE)))
            except FileNotFoundError:
                raise _lacks(lake) from None
        elif not file.exists():
            raise _lacks(lake)
        connection = stack.enter_context(duckdb.connect(str(file), read_only=True, config=_TO_READ_IT))
        connection.execute("SET TimeZone = 'UTC'")  # the day begins when it does for the approaches
        yield connection


def quoted(name: str) -> str:
    """The name of a table, view or column as SQL writes it, even if it is a keyword."""
    return '"' + name.replace('"', '""') + '"'


def storage_version(connection: duckdb.DuckDBPyConnection) -> str:
    """The oldest DuckDB that reads the database of a connection."""
    sql = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    [(version,)] = connection.execute(sql).fetchall()
    return str(version).removesuffix("+")  # "v1.4.0+": that version, and later ones


def _lacks(lake: Storage) -> LakeLacks:
    return LakeLacks(f"{lake.location(layout.product(DATABASE))} is missing: run `neo tables`, which makes it")


def _origins(contents: Contents) -> dict[str, str]:
    texts = (view.text for view in views().values())
    dictionary = Dictionary(contents.totals)
    described = (f"{relation}: {dictionary.description_of(relation)}" for relation in dictionary.tables)
    return {
        NEOS_FILE: contents.origin_of_rows,
        APPROACHES_FILE: contents.origin_of_rows,
        DATABASE: digest([STORAGE_VERSION, contents.origin, *texts, *described]),
    }


def _build(file: Path, contents: Contents, rows: dict[str, pa.Table]) -> int:
    """Build the database in a file that does not exist yet.

    Returns:
        Number of rows in its tables, without the dictionary.
    """
    dictionary = Dictionary(contents.totals)
    rows |= {table.name: one for table, one in contents.totals.items()} | {ONE_SNAPSHOT.name: contents.snapshot}
    with duckdb.connect(config=_TO_MAKE_IT) as connection:
        connection.execute(f"ATTACH {literal(str(file))} AS made (STORAGE_VERSION {literal(STORAGE_VERSION)})")
        connection.execute("USE made")
        connection.execute("BEGIN")  # one write to the file at the end, instead of one for each comment
        empty = dictionary.rows([])
        for name in dictionary.tables:
            _load(connection, name, rows.get(name, empty))
        for view in views().values():
            connection.execute(f"CREATE VIEW {quoted(view.name)} AS\n{view.sql}")
        columns = _columns(connection, dictionary.tables)
        _insert(connection, DICTIONARY.name, dictionary.rows(columns))
        simulated = mark(contents.source)
        for relation in {relation: None for relation, _, _ in columns}:
            kind = "VIEW" if relation in views() else "TABLE"
            connection.execute(
                f"COMMENT ON {kind} {quoted(relation)} IS {literal(simulated + dictionary.description_of(relation))}"
            )
        for relation, column, _ in columns:
            meaning = dictionary.meaning_of(relation, column)
            comment = of_column(meaning.description, meaning.unit)
            connection.execute(f"COMMENT ON COLUMN {quoted(relation)}.{quoted(column)} IS {literal(comment)}")
        connection.execute("COMMIT")
        connection.execute("USE memory")
        connection.execute("DETACH made")  # writes everything to the file
    return sum(one.num_rows for one in rows.values())


def _load(connection: Any, name: str, rows: pa.Table) -> None:
    """Create a table with these rows. Times lose their zone, which is UTC: DuckDB would show them in the reader's."""
    plain = [
        pa.field(one.name, pa.timestamp("us") if pa.types.is_timestamp(one.type) else one.type) for one in rows.schema
    ]
    connection.register("arrived", rows.cast(pa.schema(plain)))
    connection.execute(f"CREATE TABLE {quoted(name)} AS SELECT * FROM arrived")
    connection.unregister("arrived")


def _insert(connection: Any, name: str, rows: pa.Table) -> None:
    connection.register("arrived", rows)
    connection.execute(f"INSERT INTO {quoted(name)} SELECT * FROM arrived")
    connection.unregister("arrived")


def _columns(connection: Any, tables: Iterable[str]) -> list[tuple[str, str, str]]:
    """Every column with its table or view, and its type: tables first, in the order in which they are shown."""
    found = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'made' "
        "ORDER BY table_name, column_index"
    ).fetchall()
    shown = [*tables, *sorted(views())]
    return sorted(found, key=lambda column: shown.index(column[0]))
