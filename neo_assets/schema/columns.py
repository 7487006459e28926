"""What a table and its columns are: their types, and the rules that their rows keep. The tables themselves are in
`tables`; checking the rules lives in `orchestration.checks`.
"""

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa

Bound = int | float | date | datetime | None


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit, source (a path in the NeoWs JSON), and which values it may hold.

    Bounds and choices say what is possible, for the checks; `repr` leaves them out, because the origins of tables are
    made of it, and a rule does not change what a table holds.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str = ""
    source: str = ""
    nullable: bool = False
    minimum: Bound = dataclasses.field(default=None, repr=False)
    maximum: Bound = dataclasses.field(default=None, repr=False)
    above: Bound = dataclasses.field(default=None, repr=False)
    """Every value is greater than this, not equal to it."""
    choices: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    """The only values possible; empty if there are others."""

    @property
    def field(self) -> pa.Field:
        """The Arrow field, with description, unit and source as field metadata."""
        metadata = {"description": self.description, "unit": self.unit, "source": self.source}
        return pa.field(self.name, self.type, self.nullable, metadata)


@dataclass(frozen=True)
class Table:
    """One table of the lake. A partitioned table has one file per page set; any other table is a single file.

    `asset` names the asset that writes the table, if it differs from the table's name. `key` names the columns that
    together differ from row to row, if there are any. `layer` is the directory that the table is in.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    partitioned: bool = True
    asset: str = ""
    key: tuple[str, ...] = ()
    layer: str = ""
    recipe: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    """Of a metric: everything that determines the rows besides the tables it reads, such as its SQL."""
    reads: "tuple[Table, ...]" = dataclasses.field(default=(), repr=False)
    """Of a metric: the tables it is computed from."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema that every file of the table has."""
        return pa.schema([column.field for column in self.columns])

    def difference(self, rows: pa.Table) -> str:
        """How the columns of these rows differ from the table's: the first difference, for people; empty if none."""
        stored, wanted = rows.schema.remove_metadata(), self.schema
        if stored.equals(wanted, check_metadata=True):
            return ""
        if lacking := [name for name in wanted.names if name not in stored.names]:
            return f"no column {', '.join(lacking)}"
        if stored.names != wanted.names:
            return f"columns {', '.join(stored.names)}"
        for name in wanted.names:
            if stored.field(name).type != wanted.field(name).type:
                return f"{name} is {stored.field(name).type} instead of {wanted.field(name).type}"
        return "the description of a column, or whether it may be null"
