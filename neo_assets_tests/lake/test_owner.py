"""A lake belongs to the source that stores the first page; another source is refused with the way out."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from neo_assets.lake import owner, raw_pages
from neo_assets.lake.storage import LakeError, Storage
from neo_assets_tests.sources.neows.examples import neo, page


def test_an_empty_lake_has_no_source(lake: Storage) -> None:
    assert owner.source_of(lake) is None


def test_the_first_claim_holds_and_may_be_repeated(lake: Storage) -> None:
    owner.claim(lake, "simulator")
    owner.claim(lake, "simulator")
    assert owner.source_of(lake) == "simulator"
    assert lake.read("lake.json") == b'{"source": "simulator"}'


@pytest.mark.parametrize(
    ("first", "other", "way_out"),
    [
        ("simulator", "nasa", "or unset NASA_API_KEYS to continue with simulator"),
        ("nasa", "simulator", "or set NASA_API_KEYS to continue with nasa"),
    ],
)
def test_another_source_is_refused(lake: Storage, first: str, other: str, way_out: str) -> None:
    owner.claim(lake, first)
    with pytest.raises(LakeError) as caught:
        owner.claim(lake, other)
    message = str(caught.value)
    assert f"{lake.root} holds data from {first}, but the source is now {other}; they do not mix" in message
    assert f"set NEO_LAKE to another place for {other}, " in message
    assert way_out in message
    assert "\n" not in message
    assert owner.source_of(lake) == first


def test_of_several_concurrent_claims_one_succeeds(lake: Storage) -> None:
    for number in range(10 if lake.is_local else 5):
        places = [Storage(f"{lake.root}/{number}") for _ in range(4)]
        together = threading.Barrier(len(places))

        def claim(place: Storage, who: str, together: threading.Barrier = together) -> str | None:
            together.wait()
            try:
                owner.claim(place, who)
            except LakeError:
                return None
            return who

        with ThreadPoolExecutor(len(places)) as threads:
            held = set(threads.map(claim, places, ["nasa", "simulator"] * 2)) - {None}
        assert held == {owner.source_of(places[0])}


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"origin": "nasa"}', '{"source": null}', "null"])
def test_a_damaged_mark_is_made_again_from_the_pages(lake: Storage, mark: str) -> None:
    raw_pages.write_page(lake, page(neo(), number=1))
    lake.write("lake.json", mark.encode())
    assert owner.source_of(lake) == "simulator"
    with pytest.raises(LakeError, match="holds data from simulator"):
        owner.claim(lake, "nasa")
    owner.claim(lake, "simulator")
    assert json.loads(lake.read("lake.json").to_pybytes()) == {"source": "simulator"}


def test_a_lake_that_lost_its_mark_is_known_by_its_pages(lake: Storage) -> None:
    lake.write("bronze/raw_pages/page-00000.json.zst", b"damaged")
    assert owner.source_of(lake) is None
    raw_pages.write_page(lake, page(neo(), number=1))
    assert owner.source_of(lake) == "simulator"
    with pytest.raises(LakeError, match="holds data from simulator, but the source is now nasa; they do not mix"):
        owner.claim(lake, "nasa")
    assert not lake.info("lake.json").is_file
    owner.claim(lake, "simulator")
    assert lake.read("lake.json") == b'{"source": "simulator"}'
