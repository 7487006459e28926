"""Which responses are the complete Browse page N, and which other bodies come with a 200."""

import gzip
import json
from typing import Any

import pytest

from neo_assets.schema.pages import CatalogueStats
from neo_assets.sources.neows.errors import NotAPage, WrongPage
from neo_assets.sources.neows.pages import read_envelope, read_stats, unpack
from neo_assets_tests.sources.neows.examples import CAPTURES, NEEDS_CAPTURES, NOON, approach, body, neo

TWO = body(neo("1", approach()), neo("2"), number=3, total=41_839)


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        body(neo("1"), neo("2"), number=3, total=41_839, indent=2),
        b"\n\t " + TWO + b" \r\n\n",
        TWO.replace(b'{"links"', b'{"new":[{}],"links"').replace(b'"number":', b'"sort":null,"number":'),
    ],
    ids=["compact", "pretty-printed", "white space around", "unknown keys"],
)
def test_a_page_contains_its_counts(content: bytes) -> None:
    assert read_envelope(content, 3) == (2, 41_839)


def test_a_page_beyond_the_end_is_empty_and_complete() -> None:
    assert read_envelope(body(number=9_999, total=41_839), 9_999) == (0, 41_839)


@NEEDS_CAPTURES
@pytest.mark.parametrize("file", sorted(CAPTURES.glob("*_page-*.json")), ids=lambda file: file.name)
def test_real_pages_are_complete(file: Any) -> None:
    document = json.loads(file.read_bytes())
    expected = (len(document["near_earth_objects"]), document["page"]["total_elements"])
    assert read_envelope(file.read_bytes(), document["page"]["number"]) == expected


@pytest.mark.parametrize("content", [b"", b"  \n", b"\0" * 5], ids=["empty", "white", "zeros"])
def test_an_empty_body_is_not_a_page(content: bytes) -> None:
    with pytest.raises(NotAPage, match=r"^the response is "):
        read_envelope(content, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><h1>Application Error</h1></html>",
        b"OVER_RATE_LIMIT",
        b"[" + TWO + b"]",
        b"null",
        b"{}",
        b'{"error":{"code":"API_KEY_INVALID","message":"..."}}',
        json.dumps({"page": {"number": 3, "total_elements": 5}}).encode(),
        json.dumps({"near_earth_objects": []}).encode(),
        json.dumps({"page": None, "near_earth_objects": []}).encode(),
        json.dumps({"page": {"number": 3}, "near_earth_objects": []}).encode(),
        json.dumps({"page": {"total_elements": 3}, "near_earth_objects": []}).encode(),
        json.dumps({"page": {"number": "3", "total_elements": 5}, "near_earth_objects": []}).encode(),
        json.dumps({"page": {"number": 3, "total_elements": 5}, "near_earth_objects": None}).encode(),
        json.dumps({"page": {"number": 3, "total_elements": 5}, "near_earth_objects": {}}).encode(),
        b'{"page":{"number":3,"total_elements":18446744073709551616},"near_earth_objects":[]}',
        b'{"page":{"number":3,"total_elements":5},"near_earth_objects":' + b"[" * 100_000,
        TWO + TWO,
        TWO + b"<html>",
        b"\xff\xfe" + TWO,
    ],
    ids=lambda content: repr(content[:70]),
)
@pytest.mark.usefixtures("no_finalizers")
def test_another_answer_is_not_a_page(content: bytes) -> None:
    with pytest.raises(NotAPage, match=r"^the response is ") as caught:
        read_envelope(content, 3)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["number", "total_elements", "size"])
@pytest.mark.parametrize("value", [None, True, 1.5, "3", 2**64])
def test_a_body_without_a_valid_envelope_is_not_a_page_even_if_its_entries_are_odd(name: str, value: object) -> None:
    whole = json.loads(body(neo(), number=3))
    whole["near_earth_objects"] = [5]
    assert read_envelope(json.dumps(whole).encode(), 3)[0] == 1
    whole["page"][name] = value
    if (name, value) != ("size", None):  # pages before 2018 have no size
        with pytest.raises(NotAPage):
            read_envelope(json.dumps(whole).encode(), 3)


def test_a_page_truncated_anywhere_is_never_accepted() -> None:
    for length in range(len(TWO)):
        with pytest.raises(NotAPage):
            read_envelope(TWO[:length], 3)


def test_another_page_than_the_one_asked_for() -> None:
    with pytest.raises(WrongPage, match=r"^page 3 arrived instead$"):
        read_envelope(TWO, 4)


@pytest.mark.parametrize("damaged", [200, -6], ids=["data", "checksum"])
def test_damaged_gzip_is_not_a_page(damaged: int) -> None:
    packed = bytearray(gzip.compress(TWO))
    packed[damaged] ^= 0xFF
    with pytest.raises(NotAPage, match=r"^the response is damaged \(Error -3 while decompressing data: .*\)$"):
        unpack(bytes(packed))


def test_stats_are_read() -> None:
    content = b'{"near_earth_object_count":41839,"close_approach_count":900000,"source":"NASA"}'
    assert read_stats(content, NOON) == CatalogueStats(NOON, 41_839, 900_000)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"<html>", b"[]", b"null", b"{}", b'{"near_earth_object_count":"many"}', b"[" * 100_000),
        b'{"near_earth_object_count":1,"close_approach_count":18446744073709551616}',
        b'{"near_earth_object_count":1,"close_approach_count":1e400}',
        b'{"near_earth_object_count":-1,"close_approach_count":1}',
    ],
    ids=lambda content: repr(content[:70]),
)
@pytest.mark.usefixtures("no_finalizers")
def test_another_body_is_not_stats(content: bytes) -> None:
    with pytest.raises(NotAPage, match=r"^the response lacks near_earth_object_count or close_approach_count$"):
        read_stats(content, NOON)


@pytest.mark.parametrize("odd", ["x", 5, None, []])
def test_a_page_with_an_entry_that_is_not_an_object_is_still_a_page(odd: object) -> None:
    whole = json.loads(body(neo()))
    whole["near_earth_objects"].append(odd)
    number = whole["page"]["number"]
    assert read_envelope(json.dumps(whole).encode(), number)[0] == 2
