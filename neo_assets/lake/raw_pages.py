"""Stored Browse pages: one Zstandard object each, with the facts about the page. Bodies are parsed elsewhere.

The facts that the body lacks (when it arrived, from where) are in a skippable frame at the end of the object (RFC 8878,
section 3.1.2). Every Zstandard reader ignores that frame, and a copied lake keeps its times.
"""

import hashlib
import json
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage, md5
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED, pages_of
from neo_assets.schema.pages import Page, PageFacts, StoredPage
from neo_assets.schema.tables import RAW_PAGE_INDEX

_CODEC = pa.Codec("zstd", compression_level=1)  # as small as level 3 for these pages, in half the time
_FRAME_HEADER = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5E
_TIMES = ("fetched_at", "clock_at")
_FACTS_BYTES = 504  # a fixed length, so that the frame can be found from the object's end

_TICK = timedelta(microseconds=1)

_latest: WeakKeyDictionary[Storage, datetime] = WeakKeyDictionary()
"""The time of the latest page that this process knows of, by lake."""
_latest_lock = threading.Lock()  # several threads store pages


def write_page(storage: Storage, page: Page, file: str | None = None) -> PageFacts:
    """Store a page under its number, replacing an older copy. `file` is the landed file that held it, if any."""
    facts = PageFacts(
        page=page.number,
        fetched_at=page.fetched_at,
        source=page.source,
        sha256=hashlib.sha256(page.body).hexdigest(),
        bytes=len(page.body),
        neos=page.neos,
        total_elements=page.total_elements,
        md5="",  # known only once the object is written
        file=file,
        clock_at=page.clock_at,
    )
    while len(encoded := _encode(facts)) > _FACTS_BYTES:  # a long file name is shortened from the left
        facts = replace(facts, file=f"…{(facts.file or '')[2:]}")
    frame = _FRAME_HEADER.pack(_SKIPPABLE_MAGIC, _FACTS_BYTES) + encoded.ljust(_FACTS_BYTES)
    data = _CODEC.compress(page.body, asbytes=True) + frame
    path = layout.raw_page(page.number)
    facts = replace(facts, md5=storage.write(path, data))
    storage.remember(path, facts.md5, facts)
    with _latest_lock:
        if storage in _latest:
            _latest[storage] = max(_latest[storage], facts.fetched_at)
    return facts


def read_facts(storage: Storage, number: int) -> PageFacts | None:
    """The facts about a stored page; None if it is missing, damaged or not written by this project."""
    try:
        return _decode(storage.read(layout.raw_page(number)))
    except FileNotFoundError:
        return None


def known_facts(
    storage: Storage, page_sets: Iterable[str], on_damaged: Callable[[int], object] = lambda number: None
) -> dict[str, list[PageFacts]]:
    """Facts about the stored, undamaged pages of some page sets.

    A page is not read again if this process remembers it, or if the index of its page set lists it with its current
    digest. All others are read: a run may have died before writing the index, another run may have stored pages since,
    or the disk may have failed.

    Args:
        storage: the lake.
        page_sets: keys of the page sets.
        on_damaged: called with the number of each damaged page, which is then treated as missing.

    Returns:
        For each page set, the facts of its pages in page order.
    """
    wanted = {key: page_numbers(storage, key) for key in page_sets}
    numbers = [number for pages in wanted.values() for number in pages]
    digests = storage.digests(map(layout.raw_page, numbers))
    stored = {number for number in numbers if layout.raw_page(number) in digests}
    known: dict[int, PageFacts] = {facts.page: facts for facts in storage.recall(digests, digests).values()}
    unclear = [key for key, pages in wanted.items() if not (stored - known.keys()).isdisjoint(pages)]
    indices = tables.read_found(storage, RAW_PAGE_INDEX, unclear).values()
    indexed = (PageFacts(**row) for index in indices for row in index.to_pylist())
    known |= {row.page: row for row in indexed if digests.get(layout.raw_page(row.page)) == row.md5}

    def facts_of(number: int) -> PageFacts | None:
        try:
            return replace(read_page(storage, number).facts, md5=digests[layout.raw_page(number)])
        except LakeDamaged:
            on_damaged(number)
        except LakeLacks:
            pass  # deleted after the listing
        return None

    unknown = sorted(stored - known.keys())
    known |= {facts.page: facts for facts in storage.each(facts_of, unknown) if facts}
    return {key: [known[number] for number in pages if number in known] for key, pages in wanted.items()}


def page_numbers(storage: Storage, page_set: str) -> Sequence[int]:
    """Numbers of all pages in a page set, stored or not; for the landed objects, of the stored pages only."""
    if page_set != LANDED:
        return pages_of(page_set)
    return [number for number in stored_numbers(storage) if number >= FIRST_LANDED_PAGE]


def read_pages(storage: Storage, numbers: Iterable[int]) -> Iterator[StoredPage]:
    """Stored pages, read on demand. Raises like `read_page`."""
    return storage.each(lambda number: read_page(storage, number), numbers)


def read_page(storage: Storage, number: int) -> StoredPage:
    """Read a stored page.

    Raises:
        LakeLacks: the page is not stored.
        LakeDamaged: the page is damaged.
    """
    path = layout.raw_page(number)
    try:
        data = storage.read(path)
    except FileNotFoundError:
        raise LakeLacks(
            f"page {number} is not in the lake ({storage.location(path)}): run `neo run`, or materialize raw_pages for "
            "its page set"
        ) from None
    facts = _decode(data)
    try:
        if facts is None:
            raise OSError("its end is missing")
        body = _CODEC.decompress(data, decompressed_size=facts.bytes)
        if hashlib.sha256(body).hexdigest() != facts.sha256:
            raise OSError("its content has changed since it was stored")
    except OSError as error:
        raise LakeDamaged(
            f"{storage.location(path)} is damaged ({error}): run `neo run`, or materialize raw_pages for its page set; "
            "both fetch the page again"
        ) from None
    return StoredPage(facts, body)


def stored_numbers(storage: Storage) -> list[int]:
    """The numbers of all stored pages, in ascending order."""
    found = (layout.raw_page_number(info.path) for info in storage.files(layout.RAW_PAGES))
    return sorted(number for number in found if number is not None)


def lead(storage: Storage) -> timedelta:
    """How far the latest page's time is ahead of the clock: 0, unless the clock was set back or others' clocks differ.

    A page that arrives after this call is dated later by this much, so that it is later than all pages before.
    """
    if storage not in _latest:
        indices = tables.read_found(storage, RAW_PAGE_INDEX, tables.every_page_set(storage, RAW_PAGE_INDEX)).values()
        times = [pc.max(index["fetched_at"]).as_py() for index in indices if index.num_rows]
        _latest[storage] = max(times, default=datetime.min.replace(tzinfo=UTC))
    ahead = _latest[storage] - datetime.now(UTC)
    return ahead + _TICK if ahead >= timedelta(0) else timedelta(0)


def index(facts: Iterable[PageFacts]) -> pa.Table:
    """The rows of `raw_page_index` for these pages, by number."""
    rows = [vars(one) for one in sorted(facts, key=lambda one: one.page)]
    return pa.Table.from_pylist(rows, schema=RAW_PAGE_INDEX.schema)


def _encode(facts: PageFacts) -> bytes:
    fields = {name: value for name, value in vars(facts).items() if name != "md5" and value is not None}
    return json.dumps(fields, ensure_ascii=False, default=datetime.isoformat).encode(errors="replace")


def _decode(data: pa.Buffer) -> PageFacts | None:
    tail = data[-(_FRAME_HEADER.size + _FACTS_BYTES) :].to_pybytes()
    if tail[: _FRAME_HEADER.size] != _FRAME_HEADER.pack(_SKIPPABLE_MAGIC, _FACTS_BYTES):
        return None
    try:
        fields = json.loads(tail[_FRAME_HEADER.size :])
        times = {name: datetime.fromisoformat(fields[name]) for name in _TIMES if name in fields}
        return PageFacts(**fields | times, md5=md5(data))
    except (ValueError, TypeError, KeyError):  # damaged
        return None
