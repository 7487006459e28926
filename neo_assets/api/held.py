"""Rows of a table or view held in memory, column by column: which of them fulfil conditions, and which of those come
first. It finds what `query` would find in the database, many times sooner; what is asked for is decided there.
"""

import bisect
import contextlib
import functools
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.api.parameters import Condition
from neo_assets.pipeline.text import one_line
from neo_assets.products.database import quoted

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Place:
    """A row in an order: what it has in the column that is sorted by, and its number in the order of the key."""

    value: Any
    number: int


class Held:
    """Rows in the order of their key. They do not change; any thread may read them."""

    def __init__(self, rows: pa.Table, key: Sequence[str]) -> None:
        """
        Args:
            rows: the rows, sorted by the key. Texts are dictionaries, themselves sorted.
            key: columns that together tell them apart.
        """
        self._key = key
        self._columns = {name: rows[name].combine_chunks() for name in rows.column_names}
        self._rows = pa.RecordBatch.from_arrays(list(self._columns.values()), list(self._columns))
        self._texts: dict[str, list[str]] = {
            name: column.dictionary.to_pylist()
            for name, column in self._columns.items()
            if pa.types.is_dictionary(column.type)
        }
        self._numbers = pa.arange(0, rows.num_rows).cast(pa.uint32())
        self._ascending = {name for name in self._columns if name not in self._texts and _ascends(self._columns[name])}

    @classmethod
    def load(cls, cursor: Any, relation: str, key: Sequence[str]) -> Self:
        """Read a table or view.

        Args:
            cursor: a cursor of the database.
            relation: the name of the table or view.
            key: columns that together tell its rows apart.

        Raises:
            duckdb.Error: it cannot be read.
        """
        batches = []
        with cursor.sql(f"FROM {quoted(relation)}").to_arrow_reader(_ROWS_AT_ONCE) as reader:
            schema = reader.schema
            for batch in reader:
                columns = [_encoded(column) for column in batch.columns]
                batches.append(pa.RecordBatch.from_arrays(columns, schema.names))
        if not batches:
            return cls(pa.table([_encoded(pa.array([], field.type)) for field in schema], schema.names), key)
        rows = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        # Arrow loads pandas here, if that is installed: nobody waits for it, as filters would.
        rows = pa.table([_with_sorted_texts(column) for column in rows.columns], schema.names)
        return cls(_sorted(rows, key), key)

    def texts(self, name: str) -> list[str]:
        """The different texts in a column, sorted."""
        return self._texts[name]

    def count_and_first(
        self,
        conditions: Sequence[Condition],
        order: str,
        *,
        descending: bool,
        after: Place | None,
        most: int,
    ) -> tuple[int, pa.Array]:
        """The number of rows that fulfil conditions, and the numbers of those that come first.

        Args:
            conditions: what they have to be.
            order: the column to sort by; rows without a value come last, and rows with the same one as their key says.
            descending: whether the greatest come first.
            after: the place that they come after.
            most: most rows that are wanted.
        """
        numbers = self._fulfilling(conditions)
        total = len(numbers)
        if order == self._key[0] and order in self._ascending and not descending:
            if after:
                numbers = numbers.slice(bisect.bisect_right(numbers, after.number, key=_plain))
            return total, numbers.slice(0, most)
        values = self._columns[order].take(numbers)
        if pa.types.is_dictionary(values.type):
            values = values.indices
        if after:
            numbers, values = _later(numbers, values, after, descending)
        lacking = numbers.filter(pc.is_null(values)) if values.null_count else numbers.slice(0, 0)
        if values.null_count:
            known = pc.is_valid(values)
            numbers, values = numbers.filter(known), values.filter(known)
        first = _first(numbers, values, most, descending)
        return total, pa.concat_arrays([first, lacking.slice(0, most - len(first))])

    def rows(self, numbers: pa.Array, fields: Sequence[str]) -> pa.Table:
        """The rows with these numbers."""
        taken = self._rows.select(list(fields)).take(numbers)
        texts = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in taken.columns]
        return pa.table(texts, list(fields))

    def place(self, order: str, texts: Sequence[str | None]) -> Place:
        """The place of a row, found again by texts.

        Args:
            order: the column that is sorted by.
            texts: its value there, and its key without that column.

        Raises:
            ValueError: there is no such row.
        """
        [first, *others] = texts
        of_key = dict(zip((name for name in self._key if name != order), others, strict=True))
        if order in self._key:
            of_key[order] = first
        numbers = self._fulfilling(Condition(name, "=", (self._value(name, text),)) for name, text in of_key.items())
        if not len(numbers):
            raise ValueError("there is no such row")
        number = numbers[-1].as_py()
        column = self._columns[order]
        if pa.types.is_dictionary(column.type):
            return Place(column.indices[number].as_py(), number)
        return Place(column[number].as_py(), number)

    def _value(self, name: str, text: str | None) -> Any:
        kind = self._columns[name].type
        return text if name in self._texts else pa.scalar(text, pa.string()).cast(kind).as_py()

    def _fulfilling(self, conditions: Iterable[Condition]) -> pa.Array:
        """The numbers of the rows that fulfil conditions, in the order of the key."""
        begin, end = 0, len(self._numbers)
        others = []
        for condition in conditions:
            if condition.column not in self._ascending or len(condition.values) != 1:
                others.append(condition)
                continue
            column, [value] = self._columns[condition.column], condition.values
            if condition.operator in (">=", "="):
                begin = max(begin, bisect.bisect_left(column, value, key=_plain))
            if condition.operator in ("<=", "="):
                end = min(end, bisect.bisect_right(column, value, key=_plain))
        number = max(0, end - begin)
        numbers = self._numbers.slice(begin, number)
        masks = [self._mask(begin, number, condition) for condition in others]
        return numbers.filter(functools.reduce(pc.and_, masks)) if masks else numbers

    def _mask(self, begin: int, number: int, condition: Condition) -> pa.Array:
        """Which of some rows fulfil a condition."""
        column = self._columns[condition.column].slice(begin, number)
        values: Sequence[Any] = condition.values
        if condition.column in self._texts:
            column, values = column.indices, self._codes(condition.column, values)
        if len(values) > 1:
            return pc.is_in(column, pa.array(values, column.type))
        one = values[0] if values else None  # which nothing is equal to
        return _COMPARE[condition.operator](column, pa.scalar(one, column.type))  # several times as fast

    def _codes(self, name: str, texts: Sequence[str]) -> list[int]:
        known = self._texts[name]
        places = ((bisect.bisect_left(known, text), text) for text in texts)
        return [at for at, text in places if at < len(known) and known[at] == text]


class Loading(threading.Thread):
    """Rows on their way into memory."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, relation: str, key: Sequence[str]) -> None:
        """Begin to load them, as `Held.load` does. The cursor is closed in the end."""
        super().__init__(name=f"load {relation}")
        self.relation = relation
        self.held: Held | None = None
        """The rows, once they are there."""
        self._cursor, self._key, self._is_wanted = cursor, key, True
        self.start()

    def run(self) -> None:
        """Load the rows, if nothing is wrong; else the database is asked each time."""
        try:
            with self._cursor:
                self.held = Held.load(self._cursor, self.relation, self._key)
            pa.default_memory_pool().release_unused()
        except (duckdb.Error, pa.ArrowException) as error:
            if self._is_wanted:
                logger.warning("%s is not held in memory: %s", self.relation, one_line(str(error)))

    def end(self) -> None:
        """Load no more."""
        self._is_wanted = False
        while self.is_alive():
            with contextlib.suppress(duckdb.Error):  # it has just ended by itself
                self._cursor.interrupt()
            self.join(0.05)


_COMPARE: Mapping[str, Any] = {">=": pc.greater_equal, "<=": pc.less_equal, "=": pc.equal}


def _plain(scalar: Any) -> Any:
    return scalar.as_py()


def _encoded(column: pa.Array) -> pa.Array:
    return column.dictionary_encode() if pa.types.is_string(column.type) else column


def _with_sorted_texts(column: pa.ChunkedArray) -> pa.Array:
    """The column, and if its texts are a dictionary, that one sorted, so that codes compare as texts do."""
    whole = column.combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        return whole
    order = pc.sort_indices(whole.dictionary)
    rank = pc.sort_indices(order).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(rank.take(whole.indices), whole.dictionary.take(order))


def _sorted(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows sorted by a key: here, as it takes the database several times the memory."""
    codes = {
        name: column.combine_chunks().indices if pa.types.is_dictionary(column.type) else column
        for name, column in zip(key, rows.select(key).columns, strict=True)
    }
    order = pc.sort_indices(pa.table(codes), [(name, "ascending") for name in key])
    return rows if _ascends(order) else rows.take(order)


def _ascends(column: pa.Array) -> bool:
    """Whether no value is less than the one before it, and none is missing."""
    if column.null_count or len(column) < 2 or pa.types.is_boolean(column.type):
        return False
    return bool(pc.all(pc.greater_equal(column.slice(1), column.slice(0, len(column) - 1))).as_py())


def _later(numbers: pa.Array, values: pa.Array, after: Place, descending: bool) -> tuple[pa.Array, pa.Array]:
    """Those that come after a place, of numbers and the values that are sorted by."""
    beyond = pc.greater(numbers, after.number)
    if after.value is None:
        keep = pc.and_(pc.is_null(values), beyond)
    else:
        at = pa.scalar(after.value, values.type)
        further = (pc.less if descending else pc.greater)(values, at)
        keep = pc.or_(further, pc.and_(pc.equal(values, at), beyond)).fill_null(True)  # those without come last
    return numbers.filter(keep), values.filter(keep)


def _first(numbers: pa.Array, values: pa.Array, most: int, descending: bool) -> pa.Array:
    """The numbers of the least or greatest values, sorted by them; the same value, by number."""
    direction = "descending" if descending else "ascending"
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if len(values) <= most:
        return numbers.take(pc.array_sort_indices(values, direction))
    last = values[pc.select_k_unstable(values, most, [("", direction)])[-1].as_py()]
    are_before = (pc.greater if descending else pc.less)(values, last)
    before = numbers.filter(are_before)
    before = before.take(pc.array_sort_indices(values.filter(are_before), direction))
    return pa.concat_arrays([before, numbers.filter(pc.equal(values, last)).slice(0, most - len(before))])
