"""The files of a release that hold data, each with its columns: the one place that decides which there are. The texts
beside them are put together in `manifest`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeWrong, Storage
from neo_assets.products import database
from neo_assets.products.contents import Contents
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.index import Made
from neo_assets.products.spreadsheet import as_csv
from neo_assets.schema.columns import Table
from neo_assets.schema.products import DICTIONARY, NEOS, ONE_SNAPSHOT
from neo_assets.schema.tables import CLOSE_APPROACHES

DICTIONARY_FILE = "dictionary.csv"

_PIECE = 1 << 20

PARQUET, CSV, DUCKDB = "application/x-parquet", "text/csv", "application/vnd.duckdb"
"""Media types."""


@dataclass(frozen=True)
class DataFile:
    """A file with data."""

    name: str
    media_type: str
    rows: int
    description: str
    pieces: Callable[[], Iterator[bytes | pa.Buffer]]
    """Its content, piece by piece."""
    table: Table | None = None
    """What it holds; None if it holds several tables."""


@dataclass(frozen=True)
class Meaning:
    """A column as people read about it."""

    name: str
    type: str
    unit: str
    text: str


class Data:
    """The data of a release, and what their columns mean."""

    def __init__(self, lake: Storage, contents: Contents) -> None:
        """Makes those of the products that are not up to date. Raises like `database.make`."""
        self._lake, self.contents = lake, contents
        made = database.make(lake, contents)
        with database.opened(lake) as connection:
            self._dictionary = connection.sql(f"FROM {DICTIONARY.name}").to_arrow_table()
        self.files: Sequence[DataFile] = [
            self._stored(database.NEOS_FILE, PARQUET, made, NEOS),
            self._stored(database.APPROACHES_FILE, PARQUET, made, CLOSE_APPROACHES),
            *(self._parquet(table, rows) for table, rows in contents.totals.items()),
            self._parquet(ONE_SNAPSHOT, contents.snapshot),
            self._csv(DICTIONARY_FILE, self._dictionary, DICTIONARY),
            self._stored(database.DATABASE, DUCKDB, made),
        ]
        """The files, in the order in which they are shown."""

    def meanings(self, table: Table) -> list[Meaning]:
        """The columns of a table."""
        rows = self._dictionary.filter(pc.equal(self._dictionary["table_name"], table.name)).to_pylist()
        return [Meaning(row["column_name"], row["type"], row["unit"], row["meaning"]) for row in rows]

    def describe(self, table: Table) -> str:
        """What a table holds."""
        return Dictionary(self.contents.totals).description_of(table.name)

    def _stored(self, name: str, media_type: str, made: Mapping[str, Made], table: Table | None = None) -> DataFile:
        """A product as it is in the lake."""
        description = self.describe(table) if table else "All tables, views of them and the dictionary, for DuckDB."
        return DataFile(name, media_type, made[name].rows, description, lambda: self._read(name, made[name]), table)

    def _parquet(self, table: Table, rows: pa.Table) -> DataFile:
        def pieces() -> Iterator[pa.Buffer]:
            yield tables.parquet(self._lake, table, rows)

        return DataFile(f"{table.name}.parquet", PARQUET, rows.num_rows, self.describe(table), pieces, table)

    def _csv(self, name: str, rows: pa.Table, table: Table) -> DataFile:
        return DataFile(name, CSV, rows.num_rows, self.describe(table), lambda: iter([as_csv(rows)]), table)

    def _read(self, name: str, made: Made) -> Iterator[bytes]:
        """The content of a product.

        Raises:
            LakeWrong: it is not the one that the index names; so another process replaced it meanwhile.
        """
        digest = hashlib.sha256()
        with self._lake.open(layout.product(name)) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != made.sha256:
            raise LakeWrong(f"{self._lake.location(layout.product(name))} changed while it was copied: run this again")
