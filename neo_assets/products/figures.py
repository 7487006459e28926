"""The figures of the report: each is one `.sql` file in `report/figures`, whose header says all that is known of it.
Drawing one is in `drawing`, putting them on a page in `report`.

A header is YAML in the comment at the top:

- `place`: where it stands in the report.
- `title`, and `text` for what a reader must know.
- `none`: what is said if there are no rows.
- `finding`: a query on the rows, called `figure`, for the sentence that says what they show: the alternative text,
  too.
- `columns`: the columns of the table, each with its `label`, and its `format` if it is a number that needs another than
  the usual one. A column with a `series` is a number that the chart shows as one of several: the chart gets a row for
  each, with the number as `number` and the name as `series`.
- `chart`: marks and encodings of Vega-Lite (https://vega.github.io/vega-lite/docs/). Axes get the labels of columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from importlib import resources
from typing import Any

import duckdb
import yaml

from neo_assets.pipeline.metrics.registry import header_and_sql
from neo_assets.pipeline.text import one_line

JPL_URL = "nasa_jpl_url"
"""A column that is not shown, but links the column `name` to the NEO's page at JPL."""

_FIGURE = "figure"


@dataclass(frozen=True)
class Figure:
    """One figure, as its file defines it."""

    name: str
    sql: str
    """The query, without the header."""
    file: str
    """All that defines it."""
    place: int
    title: str
    text: str
    none: str
    finding: str
    columns: Mapping[str, Mapping[str, str]]
    chart: Mapping[str, Any]

    @property
    def finding_sql(self) -> str:
        """The query for the finding, which stands alone."""
        return f"WITH {_FIGURE} AS (\n{self.sql}\n)\n{self.finding}"


@dataclass(frozen=True)
class Filled:
    """A figure with its rows."""

    figure: Figure
    rows: Sequence[Mapping[str, Any]]
    finding: str

    @property
    def points(self) -> list[dict[str, Any]]:
        """What the chart shows: a row of its own for each number of a series."""
        series = {name: column["series"] for name, column in self.figure.columns.items() if "series" in column}
        if not series:
            return [dict(row) for row in self.rows]
        return [{**row, "series": label, "number": row[name]} for row in self.rows for name, label in series.items()]

    @cached_property
    def numbers(self) -> set[str]:
        """The columns that hold numbers."""
        return {name for name in self.figure.columns if any(isinstance(row[name], (int, float)) for row in self.rows)}

    def cells(self, row: Mapping[str, Any]) -> list["Cell"]:
        """The cells of a row in the table."""
        return [
            Cell(
                _text(row[name], column.get("format", ",")),
                name in self.numbers,
                _url(row.get(JPL_URL)) if name == "name" else "",
            )
            for name, column in self.figure.columns.items()
        ]


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    is_number: bool
    url: str
    """Where it leads to; empty if nowhere."""


@cache
def figures() -> Sequence[Figure]:
    """All figures, in the order of the report."""
    files = resources.files("neo_assets.products").joinpath("report", "figures").iterdir()
    found = [_figure(file.name, file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".sql")]
    return sorted(found, key=lambda figure: figure.place)


def filled(connection: duckdb.DuckDBPyConnection, figure: Figure) -> Filled:
    """The figure with its rows from a database.

    Raises:
        duckdb.Error: the database lacks what it reads.
    """
    rows = connection.sql(figure.sql).to_arrow_table()
    connection.register(_FIGURE, rows)
    found = connection.execute(figure.finding).fetchall() if rows.num_rows else [(figure.none,)]
    connection.unregister(_FIGURE)
    return Filled(figure, rows.to_pylist(), str(found[0][0]))


def _figure(file: str, text: str) -> Figure:
    parts = header_and_sql(text)
    assert parts, f"report/figures/{file} does not begin with a header between /* and */"
    said: dict[str, Any] = yaml.safe_load(parts[0])
    said |= {key: one_line(said[key]) for key in ("title", "text", "none")}
    return Figure(name=file.removesuffix(".sql"), sql=parts[1], file=text, **said)


def _text(value: Any, form: str) -> str:
    """A value as people read it; empty if it is null."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, (int, float)):
        return format(value, form)
    return "" if value is None else str(value)


def _url(value: str | None) -> str:
    """An address that a browser only opens, or none: it comes from NeoWs."""
    return value if value and value.startswith("https://") else ""
