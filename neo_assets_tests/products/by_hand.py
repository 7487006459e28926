"""A small lake whose products are easy to check, and the steps to make and open them. No assertions here."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.products import database
from neo_assets.products.contents import Contents
from neo_assets.products.index import Made
from neo_assets.schema.pages import SIMULATOR, Page
from neo_assets.sources.simulator.catalogue import PAGE_SIZE, Catalogue, to_json
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST, SECOND = KEYS = ["00000-00000", "00001-00001"]

MOON = approach("0.0025", "373994", "2029-04-13")
"""An approach within one lunar distance of 384,400 km, after the pages were fetched."""


def in_days(days: int) -> str:
    """A date so many days from today."""
    return str(datetime.now(UTC).date() + timedelta(days=days))


def fill(lake: Storage, source: str = "simulator", keys: Sequence[str] = KEYS) -> Storage:
    """Two page sets: four NEOs, one of them in both."""
    owner.claim(lake, source)
    moved = neo("2", approach("0.1", "14959787", "2001-02-03"), approach("0.3", "44879361", "2001-02-04", "Venus"))
    bright = neo("1", MOON, absolute_magnitude_h=17.0, is_potentially_hazardous_asteroid=True)
    soon = neo("10", approach(day=in_days(30)), approach(day=in_days(90)), approach(day=in_days(30), body="Venus"))
    gather(lake, FIRST, [page(moved, bright)])
    gather(lake, SECOND, [page(moved, soon, neo("3", absolute_magnitude_h=...), number=1, hours=1)])
    total(lake, list(keys))
    return lake


def fill_from_simulator(lake: Storage) -> Storage:
    """Two page sets of the simulator's catalogue: forty NEOs, of which all is known."""
    owner.claim(lake, SIMULATOR)
    catalogue, now = Catalogue(), datetime.now(UTC)
    for number, key in enumerate(KEYS):
        body = to_json(catalogue.page(number))
        gather(lake, key, [Page(number, body, now, SIMULATOR, PAGE_SIZE, catalogue.neos)])
    total(lake, KEYS)
    return lake


def contents(lake: Storage) -> Contents:
    """What the products of the lake hold."""
    return Contents(lake, METRICS, KEYS)


def make(lake: Storage) -> dict[str, Made]:
    """Make the database and the files beside it."""
    return database.make(lake, contents(lake))


def with_products(place: Path, fill: Callable[[Storage], Storage]) -> Storage:
    """A lake of its own, filled and with its database made."""
    lake = Storage(str(place / "lake"))
    make(fill(lake))
    return lake


def rows(lake: Storage, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the stored database."""
    with database.opened(lake) as connection:
        found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return found
