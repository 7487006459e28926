"""`neo tables`: every table and view with its rows and description, and every column with type, unit and meaning."""

import json
from collections.abc import Callable

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.views import views
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.products.by_hand import fill, make

List = Callable[..., Ended]

WHOLE = Dictionary(METRICS.every_total)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    lake = Storage(str(tmp_path_factory.mktemp("place") / "lake"))
    make(fill(lake))
    return lake


@pytest.fixture
def listed(neo: Callable[..., Ended], place: Storage) -> List:
    return lambda *words: neo("tables", *words, NEO_LAKE=place.root, NEO_PAGES=2, NEO_PAGES_PER_SET=1)


def objects(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_every_table_and_view_is_listed_with_its_rows(listed: List) -> None:
    ended = listed()
    assert ended.err.startswith("The data are simulated")
    assert ended.out.index("Tables:\n  neos  4 ") < ended.out.index("Views:\n  approaches  6 ")
    found = objects(listed("--json"))
    assert [one["name"] for one in found] == [*WHOLE.tables, *sorted(views())]
    assert found[0] == {"name": "neos", "kind": "table", "rows": 4, "description": WHOLE.description_of("neos")}
    assert all(str(one["description"]) in ended.out for one in found)


def test_columns_are_listed_with_type_unit_and_meaning(listed: List) -> None:
    lines = listed("fastest").out.splitlines()
    assert lines[0] == "fastest (view, 4 rows):"
    assert lines[1].strip() == WHOLE.description_of("fastest")
    [line] = [line for line in lines if "miss_distance_ld" in line]
    assert line.split("  ", 3)[1:3] == ["miss_distance_ld", "DOUBLE, LD"]
    assert line.endswith("Miss distance in lunar distances of 384,400 km.")
    assert objects(listed("neos", "--json"))[6] == {
        "column": "absolute_magnitude_h",
        "type": "DOUBLE",
        "unit": "mag",
        "source": "near_earth_objects[].absolute_magnitude_h",
        "meaning": "Absolute magnitude H.",
    }


@pytest.mark.parametrize(("name", "way_out"), [("fastes", "did you mean fastest?"), ("xyz", "`neo tables` lists them")])
def test_an_unknown_name_is_one_clear_line(listed: List, name: str, way_out: str) -> None:
    ended = listed(name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith(f"\nError: there is no table or view {name}: {way_out}\n")


def test_an_empty_lake_says_what_to_run(neo: Callable[..., Ended], lake: Storage) -> None:
    ended = neo("tables", NEO_LAKE=lake.root)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "is missing: run `neo run`" in ended.err
