"""Stored Browse pages: one Zstandard object each, which carries what is known of it. What is in a body is not known
here.

The facts that a body does not tell (when it came, from where) travel in a skippable frame at the end of the object
(RFC 8878, section 3.1.2): every Zstandard reader passes over it, and a copied lake keeps its times.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, Storage

_CODEC = pa.Codec("zstd", compression_level=3)
_FRAME_HEADER = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5E
_FACTS_BYTES = 504  # padded, so that the frame is found from the object's end


class Fetched(Protocol):
    """A page as its client hands it over."""

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def body(self) -> bytes: ...  # noqa: D102
    @property
    def fetched_at(self) -> datetime: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def neos(self) -> int: ...  # noqa: D102
    @property
    def total_elements(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class PageFacts:
    """What is known of a stored page; a row of `raw_page_index`."""

    page: int
    fetched_at: datetime
    source: str
    sha256: str
    bytes: int
    neos: int
    total_elements: int


@dataclass(frozen=True)
class StoredPage:
    """A page read back from the lake."""

    facts: PageFacts
    body: pa.Buffer

    @property
    def number(self) -> int:
        """Number of the Browse page."""
        return self.facts.page

    @property
    def fetched_at(self) -> datetime:
        """When the response arrived."""
        return self.facts.fetched_at


def write_page(storage: Storage, page: Fetched) -> PageFacts:
    """Store a page under its number; an older copy is replaced."""
    facts = PageFacts(
        page=page.number,
        fetched_at=page.fetched_at,
        source=page.source,
        sha256=hashlib.sha256(page.body).hexdigest(),
        bytes=len(page.body),
        neos=page.neos,
        total_elements=page.total_elements,
    )
    note = json.dumps(asdict(facts), default=datetime.isoformat).encode()
    frame = _FRAME_HEADER.pack(_SKIPPABLE_MAGIC, _FACTS_BYTES) + note.ljust(_FACTS_BYTES)
    storage.write(layout.raw_page(page.number), _CODEC.compress(page.body, asbytes=True) + frame)
    return facts


def read_facts(storage: Storage, number: int) -> PageFacts | None:
    """What is known of a stored page; None where there is none, or one that was not written by this project."""
    try:
        return _facts(storage.read_tail(layout.raw_page(number), _FRAME_HEADER.size + _FACTS_BYTES))
    except FileNotFoundError:
        return None


def read_page(storage: Storage, number: int) -> StoredPage:
    """A stored page.

    Raises:
        LakeError: there is none, or it is damaged.
    """
    path = layout.raw_page(number)
    try:
        data = storage.read(path)
    except FileNotFoundError:
        raise LakeError(
            f"page {number} is not in the lake ({storage.location(path)}): materialize raw_pages for its page set first"
        ) from None
    facts = _facts(data[-(_FRAME_HEADER.size + _FACTS_BYTES) :].to_pybytes())
    try:
        if facts is None:
            raise OSError("its facts are missing")
        body = _CODEC.decompress(data, decompressed_size=facts.bytes)
    except OSError as error:
        raise LakeError(
            f"{storage.location(path)} is damaged ({error}): delete it and materialize raw_pages for its page set again"
        ) from None
    return StoredPage(facts, body)


def _facts(tail: bytes) -> PageFacts | None:
    if tail[: _FRAME_HEADER.size] != _FRAME_HEADER.pack(_SKIPPABLE_MAGIC, _FACTS_BYTES):
        return None
    note = json.loads(tail[_FRAME_HEADER.size :])
    return PageFacts(**note | {"fetched_at": datetime.fromisoformat(note["fetched_at"])})
