"""What every column means: the one place that answers it, for tables and for views. The columns of tables are defined
in `schema`, those of views in the headers of their SQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from neo_assets.products.views import views
from neo_assets.schema.columns import Table
from neo_assets.schema.products import DICTIONARY, NEOS, ONE_SNAPSHOT
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS


@dataclass(frozen=True)
class Meaning:
    """What a column means."""

    unit: str
    source: str
    """A path in NeoWs's JSON; empty if the values are computed."""
    description: str


class Dictionary:
    """The dictionary of a database that holds some totals."""

    def __init__(self, totals: Iterable[Table]) -> None:
        """`totals`: the totals beside the tables that every database has."""
        shown = (NEOS, CLOSE_APPROACHES, *totals, ONE_SNAPSHOT, DICTIONARY)
        self.tables = {table.name: table for table in shown}
        """The tables of the database by name, in the order in which they are shown."""

    def description_of(self, relation: str) -> str:
        """What a table or view of the database shows. Raises `KeyError` if there is none of this name."""
        table = self.tables.get(relation)
        return table.description if table else views()[relation].description

    def meaning_of(self, relation: str, column: str) -> Meaning:
        """What a column means. A view's column is looked up in the view's header, then in what the view reads.

        Raises:
            KeyError: nothing says what it means.
        """
        if found := self._meaning_of(relation, column):
            return found
        raise KeyError(f"{relation}.{column} has no meaning: describe it in the header of views/{relation}.sql")

    def rows(self, columns: Iterable[tuple[str, str, str]]) -> pa.Table:
        """The dictionary of these columns, in the given order.

        Args:
            columns: table or view, column and type of each.
        """
        described = [(*one, self.meaning_of(one[0], one[1])) for one in columns]
        return pa.Table.from_pylist(
            [
                {
                    "table_name": relation,
                    "column_name": column,
                    "type": kind,
                    "unit": meaning.unit,
                    "source": meaning.source,
                    "meaning": meaning.description,
                }
                for relation, column, kind, meaning in described
            ],
            DICTIONARY.schema,
        )

    def _meaning_of(self, relation: str, column: str) -> Meaning | None:
        if table := self.tables.get(relation):
            for one in table.columns:
                if one.name == column:
                    # Here the columns of neo_records are in neos.
                    return Meaning(one.unit, one.source, one.description.replace(NEO_RECORDS.name, NEOS.name))
            return None
        view = views().get(relation)
        if not view:
            return None
        if own := view.columns.get(column):
            return Meaning(own.get("unit", ""), "", own["description"])
        return next(filter(None, (self._meaning_of(read, column) for read in view.reads)), None)
