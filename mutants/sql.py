"""Mutants of SQL: of the `.sql` files, and of the statements inside Python modules. Statements are taken apart and put
together by sqlglot. Statements that are put together at run time are left out, and so is what only makes them faster.
"""

import ast
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from mutants.mutant import Mutant

_OTHERS: dict[type[Any], tuple[type[Any], ...]] = {
    exp.LT: (exp.LTE, exp.GTE),
    exp.LTE: (exp.LT, exp.GT),
    exp.GT: (exp.GTE, exp.LTE),
    exp.GTE: (exp.GT, exp.LT),
    exp.EQ: (exp.NEQ,),
    exp.NEQ: (exp.EQ,),
    exp.And: (exp.Or,),
    exp.Or: (exp.And,),
    exp.Add: (exp.Sub,),
    exp.Sub: (exp.Add,),
    exp.Mul: (exp.Div,),
    exp.Min: (exp.Max,),
    exp.Max: (exp.Min,),
    exp.Sum: (exp.Max, exp.Count),
    exp.Lead: (exp.Lag,),
}
"""Operators and functions, and what each is replaced by."""

_CLAUSES = ("where", "distinct", "order", "group", "limit", "offset", "conflict", "alternative", "joins")
"""Clauses that are dropped."""

_LISTS = {exp.Order: "expressions", exp.Group: "expressions", exp.Join: "using", exp.Window: "partition_by"}
"""Lists of columns, of which each is dropped."""

_STARTS = ("SELECT ", "INSERT ", "DELETE ", "UPDATE ")


def mutants(checkout: Path, path: Path) -> Iterator[Mutant]:
    """Every mutant of the SQL in a file.

    Args:
        checkout: where the project is.
        path: a `.sql` file for DuckDB, or a module with statements for SQLite, relative to the checkout.
    """
    source = (checkout / path).read_text(encoding="utf-8")
    if path.suffix == ".sql":
        header, end, statement = source.rpartition("*/\n")  # of a metric, which is not changed
        first, *others = (header + end + one for one in changed(statement, "duckdb"))
        yield from (Mutant(path, first, other, 1, None) for other in others)
        return
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith(_STARTS)
            and node not in parts
        ):
            around = [one for one in functions if one.lineno <= node.lineno <= (one.end_lineno or 0)]
            innermost = max(around, key=lambda one: one.lineno)
            within = innermost.body[0].lineno, innermost.end_lineno or 0
            first, *others = (_put(source, node, sql) for sql in changed(node.value, "sqlite"))
            yield from (Mutant(path, first, other, node.lineno, within) for other in others)


def changed(sql: str, dialect: str) -> Iterator[str]:
    """A statement as sqlglot writes it, then every mutant of it."""
    original = sqlglot.parse_one(sql, dialect=dialect)
    seen = []
    for place, node in enumerate(original.walk()):
        for change in (_nothing, *_changes(node)):
            copy = original.copy()
            change(list(copy.walk())[place])
            text = copy.sql(dialect, comments=False, pretty=dialect == "duckdb")
            if text not in seen:
                seen.append(text)
                yield text


def _nothing(_: Any) -> None:
    """The change that leaves a statement as it is."""


def _changes(node: exp.Expr) -> Iterator[Callable[[Any], object]]:
    """Every change of a node, as functions that change a copy of it."""
    for other in _OTHERS.get(type(node), ()):
        yield partial(_become, other)
    if isinstance(node, exp.Connector | exp.Union):
        yield lambda copy: copy.replace(copy.left)
        yield lambda copy: copy.replace(copy.right)
    if isinstance(node, exp.Union):
        yield lambda copy: copy.set("distinct", True)
    if isinstance(node, exp.Count):
        yield lambda copy: copy.replace(exp.Literal.number(1))
    if isinstance(node, exp.Literal) and not node.is_string:
        for step in (1, -1):
            yield partial(_move, step)
    if isinstance(node, exp.Ordered):
        yield lambda copy: copy.set("desc", not copy.args.get("desc"))
    for clause in _CLAUSES:
        if node.args.get(clause) and not isinstance(node, exp.Union):
            yield partial(_drop, clause)
    columns = _LISTS.get(type(node), "")
    if len(node.args.get(columns) or ()) > 1:
        for index in range(len(node.args[columns])):
            yield partial(_drop_column, columns, index)


def _become(other: type[Any], copy: Any) -> None:
    copy.replace(other(**copy.args))


def _move(step: int, number: Any) -> None:
    number.set("this", str(Decimal(number.this) + step))


def _drop(clause: str, copy: Any) -> None:
    copy.set(clause, None)


def _drop_column(columns: str, index: int, copy: Any) -> None:
    copy.args[columns].pop(index)


def _put(source: str, node: ast.Constant, sql: str) -> str:
    """The source with another text in place of a constant."""
    lines = source.splitlines(keepends=True)
    end_line, end = node.end_lineno or 0, node.end_col_offset or 0
    before = "".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    return before + repr(sql) + lines[end_line - 1][end:] + "".join(lines[end_line:])
