"""Mutants of Python modules, made with the operators of cosmic-ray and a few of our own. The SQL inside such modules is
the job of `sql`.

Left out are changes that no test should notice: texts, types, log entries, decorators. Operators of cosmic-ray that
replace, say, `<` by each other comparison are reduced to those that are hard to notice.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, Name, Number

from mutants.mutant import Mutant

_OF_COSMIC_RAY = (
    *(
        f"ReplaceComparisonOperator_{change}"
        for change in (
            *("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt"),
            *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
        )
    ),
    *(
        f"ReplaceBinaryOperator_{change}"
        for change in (
            *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
            *("LShift_RShift", "RShift_LShift", "BitOr_BitAnd", "BitAnd_BitOr"),
        )
    ),
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
)

_SWAPPED = {
    "all": "any",
    "and_": "or_",
    "difference": "intersection",
    "divide": "multiply",
    "equal": "not_equal",
    "greater": "greater_equal",
    "is_null": "is_valid",
    "less": "less_equal",
    "max": "min",
    "subtract": "add",
}
"""Functions, mostly pyarrow's, and what each is replaced by, in both directions."""
_OTHER_NAME = _SWAPPED | {new: old for old, new in _SWAPPED.items()} | {"xor": "or_", "add": "subtract"}

_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.Is: ast.IsNot,
    ast.In: ast.NotIn,
}
_OPPOSITE |= {new: old for old, new in _OPPOSITE.items()}


class _Ours(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """An operator that changes a node in at most `ways` ways."""

    ways = 1

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Where it can change this node."""
        if self.fits(node):
            for _ in range(self.ways):
                yield node.start_pos, node.end_pos

    @classmethod
    def examples(cls) -> tuple[()]:
        """None; the tests have them."""
        return ()

    def fits(self, node: Any) -> bool:
        """Whether it can change this node."""
        raise NotImplementedError


class OtherFunction(_Ours):
    """Calls another function: `pc.less` -> `pc.less_equal`."""

    def fits(self, node: Any) -> bool:
        """Whether this is the name of a function that is called."""
        following = node.get_next_leaf() if isinstance(node, Name) and node.value in _OTHER_NAME else None
        # Before a comma, it is handed to another function.
        return following is not None and following.value in ("(", ",")

    def mutate(self, node: Any, index: int) -> Any:
        """The node with the other name."""
        node.value = _OTHER_NAME[node.value]
        return node


class OtherNumber(_Ours):
    """Adds 1 to an integer, or subtracts it; doubles or halves another number."""

    ways = 2

    def fits(self, node: Any) -> bool:
        """Whether this is a number."""
        return isinstance(node, Number)

    def mutate(self, node: Any, index: int) -> Any:
        """The node with the other number."""
        value = ast.literal_eval(node.value)
        others = (value + 1, value - 1) if isinstance(value, int) else (value * 2, value / 2)
        node.value = str(others[index])
        return node


class OtherException(_Ours):
    """Catches another exception, which is not raised."""

    def fits(self, node: Any) -> bool:
        """Whether this is an `except` with an exception."""
        return bool(node.type == "except_clause")

    def mutate(self, node: Any, index: int) -> Any:
        """The clause with another exception."""
        node.children[1] = Name(" FloatingPointError", node.children[1].start_pos)
        return node


class NotIn(_Ours):
    """Replaces `in` by `not in`, and the reverse."""

    def fits(self, node: Any) -> bool:
        """Whether this is such a comparison."""
        return node.type == "comparison" and _code(node.children[1]) in ("in", "not in")

    def mutate(self, node: Any, index: int) -> Any:
        """The comparison with the other operator."""
        other = " in" if _code(node.children[1]) == "not in" else " not in"
        node.children[1] = Name(other, node.children[1].start_pos)
        return node


class NoFilter(_Ours):
    """Drops the condition of a comprehension, or reverses it."""

    ways = 2

    def fits(self, node: Any) -> bool:
        """Whether this is such a condition."""
        return bool(node.type == "comp_if")

    def mutate(self, node: Any, index: int) -> Any:
        """The condition `True`, or the opposite one."""
        node.children[1] = parso.parse(" True" if index else f" not ({_code(node.children[1])})")
        return node


class NoStatement(_Ours):
    """Drops a statement that is neither an assignment, nor ends the function."""

    def fits(self, node: Any) -> bool:
        """Whether this is such a statement; log entries and docstrings are left alone."""
        if node.type != "simple_stmt":
            return False
        statement = node.children[0]
        if statement.type == "expr_stmt":
            return _code(statement.children[1]).endswith("=") and _code(statement.children[1]) != "="  # such as `+=`
        is_call = statement.type in ("atom_expr", "await", "yield_expr", "power")
        return is_call and not _code(statement).startswith("logger.")

    def mutate(self, node: Any, index: int) -> Any:
        """`pass` instead."""
        first = node.get_first_leaf()
        node.children[0] = Keyword("pass", first.start_pos, first.prefix)
        return node


_OPERATORS = (
    *(get_operator(f"core/{name}")() for name in _OF_COSMIC_RAY),
    *(OtherFunction(), OtherNumber(), OtherException(), NotIn(), NoFilter(), NoStatement()),
)


def mutants(checkout: Path, path: Path) -> Iterator[Mutant]:
    """Every mutant of a module.

    Args:
        checkout: where the project is.
        path: the module, relative to it.
    """
    source = (checkout / path).read_text(encoding="utf-8")
    nodes = list(ast_nodes(get_ast(source)))
    seen = {_normal(source)}
    for operator in _OPERATORS:
        places = [(node, place) for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, (node, (start, _)) in enumerate(places):
            if _is_left_out(node):
                continue
            mutated = mutate_code(source, operator, occurrence)
            normal = _normal(mutated)
            if normal and normal not in seen:
                seen.add(normal)
                yield Mutant(path, source, mutated, start[0], _function_around(node))


def _is_left_out(node: Any) -> bool:
    """Whether a node is part of a type, a decorator or a log entry, or the `*` in a list of parameters."""
    if node.parent and node.parent.type == "parameters":
        return True
    while node.parent:
        parent = node.parent
        if parent.type == "tfpdef" or (parent.type == "funcdef" and node is parent.annotation):
            return True
        if parent.type == "annassign" and node is parent.children[1]:
            return True
        if parent.type == "decorator" or (parent.type == "simple_stmt" and _code(node).startswith("logger.")):
            return True
        node = parent
    return False


def _function_around(node: Any) -> tuple[int, int] | None:
    """First and last line of the body of the innermost function around a node."""
    while node.parent:
        if node.parent.type == "funcdef" and node is node.parent.children[-1]:
            return node.start_pos[0] + (node.type == "suite"), node.end_pos[0]
        node = node.parent
    return None


def _normal(source: str) -> str:
    """What a module does, to find changes that come to the same; empty if it is not Python."""
    try:
        return ast.dump(_Simpler().visit(ast.parse(source)))
    except SyntaxError:
        return ""


class _Simpler(ast.NodeTransformer):
    """Writes `not (a < b)` as `a >= b`, and `not not a` as `a`."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """The method that `ast` calls for `not`."""
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.UnaryOp):
            return node.operand.operand
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.Compare) and len(node.operand.ops) == 1:
            opposite = _OPPOSITE[type(node.operand.ops[0])]
            return ast.Compare(node.operand.left, [opposite()], node.operand.comparators)
        return node


def _code(node: Any) -> str:
    return str(node.get_code(include_prefix=False))
