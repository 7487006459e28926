"""Rows in memory: what is found in them is what the database finds."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.api.held import Held
from neo_assets.api.parameters import ApproachParameters, Condition
from neo_assets.api.query import find
from neo_assets.api.resources import APPROACHES
from neo_assets.api.snapshots import Snapshot, Snapshots
from neo_assets.lake.storage import Storage
from neo_assets_tests.api.test_snapshots import change
from neo_assets_tests.products.by_hand import fill, with_products

NUMBERS = ["5", "0.05", "0.3", "1.5"]
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.sampled_from([1, 7, 100, 1_000]),
        "sort": st.sampled_from(["", "-"]),
        "fields": st.sampled_from(["name", "orbit_class,absolute_magnitude_h"]),
        "h-min": st.integers(15, 25),
        "h-max": st.integers(15, 30),
        "pha": st.booleans(),
        "des": st.integers(-1, 39),
        "date-min": st.dates().filter(lambda day: 1900 < day.year < 2200).map(str),
        "date-max": st.dates().filter(lambda day: 1900 < day.year < 2200).map(str),
        "dist-min": st.sampled_from(NUMBERS),
        "dist-max": st.sampled_from([*NUMBERS, "40LD"]),
        "v-rel-min": st.integers(0, 40),
        "body": st.sampled_from(["Earth", "Venus"]),
    },
)


def serving(lake: Storage) -> Snapshots:
    """The snapshots of a lake, with approaches in memory."""
    return Snapshots(lake, in_memory=(APPROACHES.relation, APPROACHES.key))


@pytest.fixture(scope="module")
def snapshots(served_lake: Storage) -> Iterator[tuple[Snapshot, Snapshot]]:
    """The snapshot of the lake twice: one with approaches in memory, one without."""
    with (
        contextlib.closing(serving(served_lake)) as quick,
        contextlib.closing(Snapshots(served_lake)) as slow,
        quick.current() as held,
        slow.current() as stored,
    ):
        held.wait_until_loaded()
        assert held.held("approaches")
        assert not stored.held("approaches")
        yield held, stored


def walked(asked: ApproachParameters, *of: Snapshot) -> list[Any]:
    """Pages, each of the next snapshot: the rows, their types, the totals."""
    seen: list[Any] = []
    for snapshot in of:
        found = find(snapshot, APPROACHES, asked)
        seen += [found.rows.to_pylist(), found.rows.schema.types, found.total, found.cursor is None]
        if asked.sort is None:
            seen.append(found.cursor)
        if not found.cursor:
            break
        asked = asked.model_copy(update={"cursor": found.cursor})
    return seen


@settings(max_examples=60, deadline=None)
@given(data=st.data(), chosen=ASKED)
def test_memory_finds_what_the_database_finds_also_where_one_goes_on_from_the_other(
    snapshots: tuple[Snapshot, Snapshot], data: st.DataObject, chosen: dict[str, Any]
) -> None:
    held, stored = snapshots
    asked = dict(chosen)
    if (number := asked.pop("des", None)) is not None:
        names = stored.rows("SELECT unnest([id, name, designation]) AS one FROM neos ORDER BY id, one")["one"]
        asked["des"] = names[number].as_py() if number >= 0 else "no such object"
    if "sort" in asked:
        asked["sort"] += data.draw(st.sampled_from(list(stored.columns["approaches"])))
    parameters = ApproachParameters.model_validate(asked)
    expected = walked(parameters, stored, stored, stored)
    assert walked(parameters, held, held, held) == expected
    assert walked(parameters, held, stored, held) == expected


def test_another_snapshot_is_in_memory_when_it_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neo_assets.api.snapshots._LOOK_EVERY_S", 0)
    lake = with_products(tmp_path, fill)
    with contextlib.closing(serving(lake)) as every:
        with every.current() as first:
            pass
        change(lake, neos=7)
        with every.current() as second:
            assert second is not first
            assert second.held("approaches")


def test_a_snapshot_that_is_still_being_loaded_can_be_closed(served_lake: Storage) -> None:
    every = serving(served_lake)
    with every.current():
        pass
    every.close()
    assert not [one.name for one in threading.enumerate() if one.name.startswith("load ")]


def held(*values: Any, kind: Any) -> Held:
    whole = pa.array(values, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    rows = pa.table({"key": pa.array(range(len(values)), pa.int64()), "value": whole})
    return Held(rows, ("key",))


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us"), pa.date32()])
@pytest.mark.parametrize(("descending", "order"), [(False, [1, 4, 0, 2, 5, 3]), (True, [0, 2, 5, 1, 4, 3])])
def test_equal_values_keep_the_order_of_the_key_and_missing_ones_come_last(
    kind: Any, descending: bool, order: list[int]
) -> None:
    rows = held(1, 0, 1, None, 0, 1, kind=kind)
    for most in range(1, 8):
        total, numbers = rows.count_and_first([], "value", descending=descending, after=None, most=most)
        assert (total, numbers.to_pylist()) == (6, order[:most])
    for at, number in enumerate(order):
        after = rows.place("value", [None if number == 3 else str(rows.rows([number], ["value"])[0][0]), str(number)])
        _, numbers = rows.count_and_first([], "value", descending=descending, after=after, most=9)
        assert numbers.to_pylist() == order[at + 1 :]


def test_a_place_that_no_row_has_is_refused() -> None:
    rows = held(1, 2, kind=pa.int64())
    for wrong in (["1", "7"], ["1", "x"]):
        with pytest.raises(ValueError, match=r"row|parse"):
            rows.place("value", wrong)


def test_one_of_several_values_is_enough_and_without_any_nothing_is_found() -> None:
    rows = held(3, 1, None, 2, kind=pa.int64())
    for values, expected in (((1, 2), [1, 3]), ((2,), [3]), ((), [])):
        conditions = [Condition("value", "=", values)]
        found = rows.count_and_first(conditions, "key", descending=False, after=None, most=9)
        assert (found[0], found[1].to_pylist()) == (len(expected), expected)


def test_a_table_without_rows_is_held_too() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE nothing (name VARCHAR, number INTEGER)")
        empty = Held.load(connection, "nothing", ("name",))
    total, numbers = empty.count_and_first([], "number", descending=True, after=None, most=5)
    assert (total, empty.rows(numbers, ["name", "number"]).num_rows) == (0, 0)
