"""The index of the products says from what each was made; if something is damaged or lost, a product is made again."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout, owner
from neo_assets.lake.storage import Storage
from neo_assets.products import index
from neo_assets_tests.conftest import disk_and_s3

pytestmark = disk_and_s3


@pytest.fixture
def stored(lake: Storage) -> Storage:
    owner.claim(lake, "simulator")
    index.store(lake, "a.csv", b"one", "origin 1", 1)
    index.store(lake, "b.csv", b"two", "origin 2", 2)
    return lake


def test_a_product_is_known_by_origin_source_size_and_digest(stored: Storage) -> None:
    made = index.read(stored)["b.csv"]
    assert (made.origin, made.source, made.rows, made.bytes) == ("origin 2", "simulator", 2, 3)
    assert made.sha256 == hashlib.sha256(b"two").hexdigest()
    assert (datetime.now(UTC) - made.made_at).total_seconds() < 60
    assert stored.read("products/b.csv").to_pybytes() == b"two"


def test_a_product_is_current_only_for_the_origin_that_it_was_made_from(stored: Storage) -> None:
    assert index.current(stored, "a.csv", "origin 1") == index.read(stored)["a.csv"]
    assert index.current(stored, "a.csv", "origin 2") is None
    assert index.current(stored, "c.csv", "origin 1") is None


def test_a_product_that_was_changed_or_lost_is_not_current(stored: Storage) -> None:
    stored.write("products/a.csv", b"0ne")
    stored.delete("products/b.csv")
    assert index.current(stored, "a.csv", "origin 1") is None
    assert index.current(stored, "b.csv", "origin 2") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a.csv": {"origin": 1}}', b"\xff"])
def test_a_damaged_index_counts_as_empty_and_is_written_anew(stored: Storage, damage: bytes) -> None:
    stored.write("products/index.json", damage)
    assert index.read(stored) == {}
    index.store(stored, "a.csv", b"one", "origin 1", 1)
    assert list(index.read(stored)) == ["a.csv"]


def test_a_lake_without_an_index_has_no_products(lake: Storage) -> None:
    assert index.read(lake) == {}
    assert index.current(lake, "a.csv", "origin 1") is None


def test_no_entry_is_lost_when_several_write_at_the_same_time(lake: Storage) -> None:
    owner.claim(lake, "simulator")

    def store(writer: int) -> None:
        mine = Storage(lake.root)
        for number in range(4):
            index.store(mine, f"{writer}-{number}.csv", b"one", "origin", 1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store, range(4)))
    assert sorted(index.read(lake)) == sorted(f"{writer}-{number}.csv" for writer in range(4) for number in range(4))


def test_a_process_that_was_killed_while_it_had_the_index_is_waited_for_no_longer_than_its_lease(
    stored: Storage,
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=1)
    stored.write(layout.lease(layout.INDEX_LEASES, 99), json.dumps({"until": until.isoformat()}).encode())
    index.store(stored, "c.csv", b"three", "origin 3", 3)
    assert datetime.now(UTC) >= until
    assert list(index.read(stored)) == ["a.csv", "b.csv", "c.csv"]
