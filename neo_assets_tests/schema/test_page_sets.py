"""Page sets: each page is in exactly one, and keys sort like pages and contain the page numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_assets.schema.page_sets import LANDED, page_set_key, page_set_keys, pages_of


@pytest.mark.parametrize(
    ("pages", "pages_per_set", "expected"),
    [
        (4, 2, ["00000-00001", "00002-00003"]),
        (5, 2, ["00000-00001", "00002-00003", "00004-00004"]),
        (1, 50, ["00000-00000"]),
        (3, 1, ["00000-00000", "00001-00001", "00002-00002"]),
    ],
)
def test_keys_are_first_and_last_page(pages: int, pages_per_set: int, expected: list[str]) -> None:
    assert page_set_keys(pages, pages_per_set) == expected


@given(pages=st.integers(1, 3_000), pages_per_set=st.integers(1, 4_000))
def test_every_page_is_in_exactly_one_set(pages: int, pages_per_set: int) -> None:
    sets = [pages_of(key) for key in page_set_keys(pages, pages_per_set)]
    assert [page for pages in sets for page in pages] == list(range(pages))
    assert all(len(pages) == pages_per_set for pages in sets[:-1])
    assert 1 <= len(sets[-1]) <= pages_per_set


@given(pages=st.integers(1, 3_000), pages_per_set=st.integers(1, 4_000))
def test_keys_sort_like_their_pages(pages: int, pages_per_set: int) -> None:
    keys = page_set_keys(pages, pages_per_set)
    assert sorted(keys) == keys


@given(first=st.integers(0, 99_999), length=st.integers(1, 100))
def test_a_key_contains_its_page_numbers(first: int, length: int) -> None:
    assert pages_of(page_set_key(first, first + length - 1)) == range(first, first + length)


def test_landed_objects_need_no_browse_page() -> None:
    assert list(pages_of(LANDED)) == []
