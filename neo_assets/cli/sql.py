"""`neo sql`: the rows of a query on the database. Making and opening the database lives in `database`."""

import csv
import io
import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neo_assets.pipeline.text import one_line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection  # slow to import, and `neo --help` does without

Row = tuple[Any, ...]

_SHOWN_ROWS = 40
"""Rows that a terminal shows."""

_SHOWN_CHARACTERS = 40
"""Width of a column in a terminal."""

_BATCH = 10_000


@click.command()
@click.argument("query", metavar="QUERY")
@click.option(
    "--csv", "form", flag_value="csv", help="Print CSV for programs, with a line of names; texts as they are."
)
@click.option("--json", "form", flag_value="json", help="Print a JSON object per line.")
@click.option("--parquet", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write a Parquet file.")
def sql(query: str, form: str | None, file: Path | None) -> None:
    """Run a query on the lake's database.

    QUERY is DuckDB's SQL, and cannot change anything; with -, it is read from standard input. `neo tables` lists the
    tables and views. The database is made first if it is not up to date. A terminal shows the first 40 rows; a pipe and
    a file get all.

    \b
    Examples:
      neo sql "SELECT * FROM upcoming_approaches"
      neo sql "SELECT * FROM within_one_lunar_distance WHERE is_predicted"
      neo sql "SELECT orbit_class, count(*) FROM neos GROUP BY orbit_class"
      neo sql --csv "SELECT * FROM by_year" > by_year.csv
      neo sql --json "SELECT * FROM hazardous LIMIT 5"
      neo sql --parquet hazardous.parquet "SELECT * FROM hazardous"
      neo sql - < question.sql
    """
    if form and file:
        raise click.UsageError(f"--{form} and --parquet do not go together.")
    if query == "-":
        query = sys.stdin.read()
    import duckdb

    from neo_assets.cli.database import opened_database

    with opened_database() as connection:
        try:
            _check(connection, query)
            if file:
                _write_parquet(connection, query, file)
                return
            connection.execute(query)
            printed = {"csv": _csv, "json": _json}.get(form or "", _table)
            for text in printed(connection):
                click.echo(text, nl=False)
        except duckdb.Error as error:
            raise click.ClickException(_in_one_line(error)) from None


def _check(connection: "DuckDBPyConnection", query: str) -> None:
    """Refuse whatever is not one statement that only reads."""
    from duckdb import StatementType

    statements = connection.extract_statements(query)
    if len(statements) != 1:
        number = len(statements) or "none"
        raise click.ClickException(f"give one statement, such as SELECT * FROM neos, not {number}")
    if statements[0].type not in (StatementType.SELECT, StatementType.EXPLAIN):
        raise click.ClickException("only a query that reads is allowed: SELECT, FROM, WITH, DESCRIBE, SHOW, EXPLAIN")


def _in_one_line(error: Exception) -> str:
    """What is wrong with a query, without DuckDB's picture of the place."""
    return one_line(str(error).partition("\n\nLINE ")[0])


def _batches(connection: "DuckDBPyConnection", first: int = _BATCH) -> Iterator[list[Row]]:
    """The rows of the query that was executed last."""
    size = first
    while rows := connection.fetchmany(size):
        yield rows
        size = _BATCH


def _names(connection: "DuckDBPyConnection") -> list[str]:
    return [column[0] for column in connection.description or ()]


def _csv(connection: "DuckDBPyConnection") -> Iterator[str]:
    for rows in chain([[tuple(_names(connection))]], _batches(connection)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_cell(value, "") for value in row] for row in rows)
        yield text.getvalue()


def _json(connection: "DuckDBPyConnection") -> Iterator[str]:
    names = _names(connection)
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise click.ClickException(
            f"several columns have the name {twice[0]}: give each an alias, as in n.id AS neo_id"
        )
    for rows in _batches(connection):
        for row in rows:
            values = (None if isinstance(value, float) and not math.isfinite(value) else value for value in row)
            yield json.dumps(dict(zip(names, values, strict=True)), default=_for_json) + "\n"


def _for_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_parquet(connection: "DuckDBPyConnection", query: str, file: Path) -> None:
    import pyarrow.parquet as pq

    from neo_assets.lake.tables import SOURCE

    [(source,)] = connection.execute("SELECT source FROM snapshot").fetchall()
    rows = connection.sql(query).to_arrow_table()
    try:
        pq.write_table(rows.replace_schema_metadata({SOURCE: source}), file, compression="zstd")
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {one_line(str(error))}") from None
    click.echo(f"{file}: {rows.num_rows:,} rows", err=True)


def _table(connection: "DuckDBPyConnection") -> Iterator[str]:
    """Columns side by side. A terminal gets what fits, and standard error says what does not."""
    in_terminal = sys.stdout.isatty()
    names = _names(connection)
    batches = _batches(connection, _SHOWN_ROWS if in_terminal else _BATCH)
    head = next(batches, [])
    cut: Callable[[str], str] = _shortened if in_terminal else str
    cells = [[cut(_cell(value, "NULL")) for value in row] for row in head]
    widths = [max(map(len, column)) for column in zip(*[map(cut, names), *cells], strict=True)]
    numbers = [all(map(_is_number, column)) for column in zip(*head, strict=True)]
    shown = _fitting(widths) if in_terminal else len(names)

    def line(values: Sequence[str]) -> str:
        places = zip(values[:shown], widths, numbers or [False] * shown, strict=False)
        return (
            "  ".join(text.rjust(width) if number else text.ljust(width) for text, width, number in places).rstrip()
            + "\n"
        )

    yield line(list(map(cut, names)))
    yield "  ".join("-" * width for width in widths[:shown]) + "\n"
    yield "".join(map(line, cells))
    if not head:
        click.echo("(no rows)", err=True)
    if in_terminal:
        more = sum(map(len, batches))
        if more or shown < len(names):
            said = [f"{len(head):,} of {len(head) + more:,} rows"] if more else []
            said += [f"{shown} of {len(names)} columns"] if shown < len(names) else []
            click.echo(f"({' and '.join(said)}; a pipe, --csv, --json and --parquet get all)", err=True)
        return
    for rows in batches:
        yield "".join(line([_cell(value, "NULL") for value in row]) for row in rows)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _fitting(widths: Sequence[int]) -> int:
    """How many columns of these widths a terminal has room for; at least one."""
    room, used, fitting = shutil.get_terminal_size().columns, -2, 0
    for width in widths:
        used += width + 2
        fitting += used <= room
    return max(fitting, 1)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _cell(value: Any, null: str) -> str:
    """A value in a table or in CSV."""
    if value is None:
        return null
    return str(value).lower() if isinstance(value, bool) else str(value)
