"""Browse pages as received: unpacks a body, checks that it is a complete page, reads its envelope. `parse` reads its
objects.
"""

import codecs
import json
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from neo_assets.schema.pages import CatalogueStats
from neo_assets.sources.neows.errors import NotAPage, OtherJson, WrongPage

ALWAYS_LISTED = {"close_approach_data": "name", "orbital_data": "name", "designation": "id"}
"""Fields that every object of Browse has, and every object looked up by its id, each with a field that it is listed
beside: NeoWs added `id` and `designation` to its objects in about 2018.

Objects of NeoWs's feed have only the approaches of a few days. They lack `orbital_data`, or, if the feed was asked for
with `detailed=true`, `designation`.
"""

_GZIP = b"\x1f\x8b"
"""The first bytes of every gzip member; JSON never starts with them."""

_LARGEST = 2**63 - 1
"""The largest number that the tables can hold."""

_Number = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]


class _PageInfo(msgspec.Struct):
    number: _Number
    total_elements: _Number
    size: _Number | None = None


class _Object(msgspec.Struct):
    """An object of any content."""


class _Page(msgspec.Struct):
    page: _PageInfo
    near_earth_objects: list[_Object]


_ENVELOPE = msgspec.json.Decoder(_Page)
"""Checks that a body is JSON to its end, and keeps nothing of its objects: 0.24 ms for a page; pyarrow takes 1.7 ms."""


@dataclass(frozen=True)
class Envelope:
    """A Browse page's own description. `size` is the number of NEOs on a full page, and may be missing on old pages."""

    number: int
    size: int | None
    total_elements: int
    neos: int


def unpack(body: bytes) -> bytes:
    """Undo gzip, and drop a byte order mark, which JSON should not have (RFC 8259, section 8.1).

    There may be several gzip members (RFC 1952, section 2.2); whatever follows the last one is ignored. The bytes
    decide, not Content-Encoding, which some proxies leave on a body that they have unpacked.

    Raises:
        NotAPage: the compressed data is damaged.
    """
    members = []
    rest = body
    while rest.startswith(_GZIP):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            members.append(member.decompress(rest))
        except zlib.error as error:
            raise NotAPage(f"the response is damaged ({error})") from None
        rest = member.unused_data
    return (b"".join(members) if members else body).removeprefix(codecs.BOM_UTF8)


def read_stats(body: bytes, fetched_at: datetime) -> CatalogueStats:
    """Read a response of `/stats`.

    Raises:
        NotAPage: the body lacks the counts.
    """
    try:
        stats = json.loads(body)
        neos, approaches = (int(stats[name]) for name in ("near_earth_object_count", "close_approach_count"))
        if not (0 <= neos <= _LARGEST and 0 <= approaches <= _LARGEST):
            raise ValueError("not a count")
        return CatalogueStats(fetched_at, neos, approaches)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise NotAPage("the response lacks near_earth_object_count or close_approach_count") from None


def read_envelope(body: bytes, number: int) -> tuple[int, int]:
    """Check that a body is the complete Browse page `number`. Error messages leave it to the caller to name the page.

    Returns:
        The number of NEOs on the page, and in the catalogue (`page.total_elements`).

    Raises:
        NotAPage: the body is empty, HTML, truncated, or other JSON.
        WrongPage: it is a different page.
    """
    try:
        envelope = envelope_of(body)
    except NotAPage as error:
        raise NotAPage(f"the response {error}") from None
    if envelope.number != number:
        raise WrongPage(f"page {envelope.number} arrived instead")
    return envelope.neos, envelope.total_elements


def envelope_of(body: bytes) -> Envelope:
    """Read the envelope of a Browse page with any number.

    Raises:
        NotAPage: it is not a Browse page; the message starts with a verb, for the caller to prefix a subject.
    """
    if not body.strip():
        raise NotAPage("is empty")
    if body.lstrip()[:1] != b"{":
        raise _no_page(body)
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise NotAPage(f"is not UTF-8 ({error})") from None
    try:
        found = _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError):
        if envelope := _with_odd_entries(body):
            return envelope
        raise _no_page(body) from None
    page = found.page
    return Envelope(page.number, page.size, page.total_elements, len(found.near_earth_objects))


def document_of(body: bytes) -> Any:
    """Read a body as one JSON document of any kind.

    Raises:
        NotAPage: it is not one; the message starts with a verb, for the caller to prefix a subject.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise NotAPage("is JSON nested too deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _not_one_document(body, error) from None
    except ValueError:  # Python limits the number of digits
        raise NotAPage("is JSON with a number too long to read") from None


def _not_one_document(body: bytes, error: ValueError) -> NotAPage:
    if body.lstrip()[:1] not in (b"{", b"["):
        start = " ".join(body[:60].decode(errors="replace").rstrip("\ufffd").split())
        is_text = start.isprintable() and "\ufffd" not in start
        return NotAPage(f"is not JSON: {start if is_text else 'binary data'}")
    if not str(error).startswith("Extra data"):
        return NotAPage(f"is truncated or damaged JSON ({error})")
    try:
        for line in filter(bytes.strip, body.splitlines()):
            json.loads(line)
    except ValueError:
        return NotAPage("is JSON with other text after its end")
    return _other("several documents")


def _no_page(body: bytes) -> NotAPage:
    """The error that names what a body is that is not a Browse page."""
    try:
        document = document_of(body)
    except NotAPage as error:
        return error
    match document:
        case list():
            return _other(f"a list of {len(document)} items")
        case {"near_earth_objects": dict()}:
            return _other("a NeoWs feed, which lists the approaches of a few days")
        case {"page": dict(), "near_earth_objects": list()}:
            return _other("an object whose page lacks number or total_elements")
        case {"close_approach_data": _}:
            return _other("a single NEO")
        case dict():
            return _other("an object without page and near_earth_objects")
        case str():
            return _other("a string")
        case None | bool():
            return _other(json.dumps(document))
        case _:
            return _other("a number")


def _other(what: str) -> OtherJson:
    return OtherJson(f"is JSON, but {what}, not a Browse page")


def _with_odd_entries(body: bytes) -> Envelope | None:
    """The envelope of a page with entries that are not objects, which go to the quarantine; None for anything else."""
    try:
        document = json.loads(body)
        page, entries = document["page"], document["near_earth_objects"]
        number, size, total_elements = page["number"], page.get("size"), page["total_elements"]
        numbers = [number, total_elements, *([] if size is None else [size])]
        # `isinstance` would accept a bool.
        valid = isinstance(entries, list) and all(type(one) is int and abs(one) <= _LARGEST for one in numbers)
        return Envelope(number, size, total_elements, len(entries)) if valid else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
