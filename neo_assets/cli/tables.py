"""`neo tables`: the tables and views of the database, and what their columns mean. The meanings live in
`products.dictionary`.
"""

import difflib
import json
import shutil
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection  # slow to import, and `neo --help` does without

_UNFOLDED = 100_000
"""Width of a line that is not wrapped."""


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per line: each table, or each column.")
def tables(name: str | None, as_json: bool) -> None:
    """List the tables and views of the lake's database.

    With the NAME of a table or view, list its columns instead, with type, unit and meaning. `neo sql` queries them. The
    database is made first if it is not up to date.

    \b
    Examples:
      neo tables
      neo tables upcoming_approaches
      neo tables neos --json
    """
    from neo_assets.cli.database import opened_database

    with opened_database() as connection:
        if name:
            _print_columns(connection, name, as_json)
        else:
            _print_tables(connection, as_json)


def _print_tables(connection: "DuckDBPyConnection", as_json: bool) -> None:
    found = [
        {"name": name, "kind": kind, "rows": _rows(connection, name), "description": description}
        for name, (kind, description) in _relations(connection).items()
    ]
    if as_json:
        for one in found:
            click.echo(json.dumps(one))
        return
    text = _formatter()
    for kind in ("table", "view"):
        with text.section(f"{kind.capitalize()}s"):
            listed = [
                (f"{one['name']}  {one['rows']:,}", str(one["description"])) for one in found if one["kind"] == kind
            ]
            text.write_dl(listed, col_max=45)
    click.echo(text.getvalue().strip())


def _print_columns(connection: "DuckDBPyConnection", name: str, as_json: bool) -> None:
    known = _relations(connection)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        way_out = f"did you mean {near[0]}?" if near else "`neo tables` lists them"
        raise click.ClickException(f"there is no table or view {name}: {way_out}")
    columns = connection.execute(
        "SELECT column_name, type, unit, source, meaning FROM dictionary WHERE table_name = $name", {"name": name}
    ).fetchall()
    if as_json:
        for column in columns:
            click.echo(json.dumps(dict(zip(("column", "type", "unit", "source", "meaning"), column, strict=True))))
        return
    text = _formatter()
    kind_of_relation, description = known[name]
    with text.section(f"{name} ({kind_of_relation}, {_rows(connection, name):,} rows)"):
        text.write_text(description)
        text.write_paragraph()
        listed = [
            (f"{column}  {kind}{f', {unit}' if unit else ''}", meaning) for column, kind, unit, _, meaning in columns
        ]
        text.write_dl(listed, col_max=60)
    click.echo(text.getvalue().strip())


def _formatter() -> click.HelpFormatter:
    """Wraps long lines in a terminal, and nowhere else."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNFOLDED
    return click.HelpFormatter(width=width)


def _relations(connection: "DuckDBPyConnection") -> dict[str, tuple[str, str]]:
    """The kind and the description of each table and view, in the order of the dictionary."""
    from neo_assets.products.comments import SIMULATED

    found = connection.execute(
        "SELECT table_name, 'table', comment FROM duckdb_tables() "
        "UNION ALL SELECT view_name, 'view', comment FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    described = {name: (kind, comment.removeprefix(SIMULATED)) for name, kind, comment in found}
    names = connection.execute("SELECT table_name FROM dictionary").fetchall()
    return {name: described[name] for (name,) in names}


def _rows(connection: "DuckDBPyConnection", name: str) -> int:
    from neo_assets.products.database import quoted

    [(number,)] = connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchall()
    return int(number)
