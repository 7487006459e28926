"""Checks of completeness at their edges: the last page of the catalogue, the one after it, no page at all, and older
copies. What they notice otherwise is tested in `test_fault_matrix`.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from neo_assets.lake import layout
from neo_assets.lake.raw_pages import write_page
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.completeness import (
    every_approach_is_read_once,
    every_neo_is_read_once,
    every_page_is_whole,
    keys_of_neows_are_known,
    nothing_is_in_quarantine,
)
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline import landed_objects
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import NEO_RECORDS
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.sources.neows.examples import NOON, body, neo


@pytest.mark.parametrize(
    ("number", "neos", "passes"),
    [(0, 20, True), (0, 19, False), (0, 21, False), (4, 10, True), (4, 11, False), (5, 0, True), (5, 1, False)],
)
def test_a_page_has_as_many_neos_as_its_place_in_the_catalogue_asks_for(
    lake: Storage, number: int, neos: int, passes: bool
) -> None:
    """The catalogue has 90 NEOs, so page 4 is the last one."""
    key = f"{number:05}-{number:05}"
    content = body(*(neo(str(place)) for place in range(neos)), number=number)
    gather(lake, key, [Page(number, content, NOON, "simulator", neos, 90)])
    passed, figures = every_page_is_whole(Read(lake, key), key)
    assert passed is passes
    assert figures == {
        "pages with too few or too many NEOs": "none" if passes else str(number),
        "pages missing": "none",
    }


def test_landed_objects_whose_pages_were_deleted_are_complete(lake: Storage) -> None:
    write_page(lake, Page(FIRST_LANDED_PAGE, body(neo("1")), NOON, "simulator", 1, 1), "one.ndjson")
    landed_objects.compute(lake, METRICS)
    lake.delete(layout.raw_page(FIRST_LANDED_PAGE))
    landed_objects.compute(lake, METRICS)
    passed, figures = every_neo_is_read_once(Read(lake, LANDED), LANDED)
    assert passed
    assert set(figures.values()) == {0}


def test_an_older_copy_of_a_neo_is_accounted_for(lake: Storage) -> None:
    key = "00000-00001"
    bodies = body(neo("1"), neo("2")), body(neo("1"), number=1)
    pages = [
        Page(number, content, NOON + timedelta(seconds=number), "simulator", 2 - number, 22)
        for number, content in enumerate(bodies)
    ]
    gather(lake, key, pages)
    assert every_neo_is_read_once(Read(lake, key), key) == (
        True,
        {"NEOs on the pages": 3, "NEOs read": 2, "superseded copies left out": 1, "in quarantine": 0},
    )
    passed, figures = every_approach_is_read_once(Read(lake, key), key)
    assert (passed, figures["NEOs with too few or too many"]) == (True, "none")


def test_a_page_set_in_order_has_none_of_what_a_check_looks_for(lake: Storage) -> None:
    key = "00000-00000"
    gather(lake, key, pages_from(Catalogue(20), key))
    assert keys_of_neows_are_known(Read(lake, key), key) == (True, {"pages that differ": "none"})
    assert nothing_is_in_quarantine(Read(lake, key), key) == (True, {"records in quarantine": 0, "reasons": "none"})
    assert rows_fit_the_schema_of(NEO_RECORDS)(Read(lake, key), key) == (True, {"rows of neo_records": 20})


def test_of_pages_that_differ_all_are_named_and_the_keys_of_three_compared(lake: Storage) -> None:
    key = "00000-00004"
    gather(
        lake,
        key,
        (
            replace(page, body=page.body.replace(b'"neo_reference_id"', b'"colour":"red","neo_reference_id"', 1))
            for page in pages_from(Catalogue(100), key)
        ),
    )
    passed, figures = keys_of_neows_are_known(Read(lake, key), key)
    assert not passed
    assert figures.pop("pages that differ") == "0, 1, 2, 3, 4"
    assert list(figures.values()) == [3]


def test_landed_objects_need_not_have_the_shape_of_a_page(lake: Storage) -> None:
    content = body(neo("1", colour="red"))
    write_page(lake, Page(FIRST_LANDED_PAGE, content, NOON, "simulator", 1, 1), "one.ndjson")
    landed_objects.compute(lake, METRICS)
    assert Read(lake, LANDED).raw.other_shape == []
