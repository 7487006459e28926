"""Gather Browse pages into the lake: which are reused, which are fetched, and the index of those stored. HTTP requests
live in `sources.neows`, storage in `lake.raw_pages`.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa

from neo_assets.lake import owner, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.lake.tables import WrittenTable
from neo_assets.pipeline.origins import origin
from neo_assets.pipeline.staleness import reusable_pages
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.pages import Page, PageFacts, StoredPage
from neo_assets.schema.tables import RAW_PAGE_INDEX

logger = logging.getLogger(__name__)

WRITERS = 4
"""Pages that are stored at the same time."""

NEVER = datetime.max.replace(tzinfo=UTC)
"""The `since` of a caller for whom no page is new enough to be reused for that alone."""

Pages = Generator[Page | PageFacts, None, None]
"""Pages on their way into the lake: fetched pages in full, and only the facts of pages already stored. Closing the
generator cancels pending requests.
"""


class Source(Protocol):
    """Where pages come from."""

    @property
    def source(self) -> str | None:
        """`nasa` or `simulator`; None if only a response shows it."""
        ...

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        """Fetch these Browse pages; each is yielded as soon as it arrives."""
        ...


@dataclass(frozen=True)
class Gathered:
    """A page set whose pages are all stored."""

    pages: Sequence[PageFacts]
    fetched: int
    index: WrittenTable


def gather(
    lake: Storage, neows: Source, page_set: str, max_age_hours: float, again: Collection[int], since: datetime
) -> Pages:
    """The pages of a set: first the stored pages that may be reused, then the others as they arrive.

    Args:
        lake: the lake.
        neows: where pages are fetched from.
        page_set: key of the set.
        max_age_hours: stored pages younger than this are reused.
        again: pages to fetch regardless of age.
        since: pages fetched at this time or later are reused all the same.

    Raises:
        PagesMissing: some pages could not be fetched; raised after all others were yielded.
        LakeError: the lake cannot be read, or holds another source's data.
    """

    def warn(page: int) -> None:
        logger.warning("page %d is damaged in the lake and will be fetched again", page)

    reused, missing = reused_and_missing(lake, page_set, max_age_hours, again, since, warn)
    yield from reused
    owned_by = neows.source
    lead = raw_pages.lead(lake) if missing else timedelta(0)
    with contextlib.closing(neows.pages(missing)) as fetched:
        for page in fetched:
            if page.source != owned_by:  # the response shows the source
                owner.claim(lake, page.source)
                owned_by = page.source
            yield page.dated_later(lead)


def reused_and_missing(
    lake: Storage,
    page_set: str,
    max_age_hours: float,
    again: Collection[int],
    since: datetime,
    on_damaged: Callable[[int], object] = lambda page: None,
) -> tuple[list[PageFacts], list[int]]:
    """The stored pages that `gather` reuses, and the numbers of those that it fetches, for the same arguments.

    `on_damaged` is called with the number of each damaged page.
    """
    hours_since = (datetime.now(UTC) - since) / timedelta(hours=1)
    [young] = reusable_pages(lake, [page_set], max(max_age_hours, hours_since), on_damaged).values()
    reused = [facts for facts in young if facts.page not in again or facts.arrived_at >= since]
    return reused, sorted(set(pages_of(page_set)) - {facts.page for facts in reused})


def stored(lake: Storage, page_set: str) -> Pages:
    """The stored pages of a set; nothing is fetched.

    Raises:
        LakeLacks: a page is missing.
        LakeDamaged: a page is damaged.
    """
    damaged: list[int] = []
    [known] = raw_pages.known_facts(lake, [page_set], damaged.append).values()
    for number in [*damaged, *sorted(set(pages_of(page_set)) - {facts.page for facts in known})]:
        raw_pages.read_page(lake, number)  # raises the fitting error
        raise LakeDamaged(f"page {number} changed while it was being read: run `neo run`")
    yield from known


def store(
    lake: Storage,
    page_set: str,
    pages: Iterable[Page | PageFacts],
    on_stored: Callable[[StoredPage], object] = lambda page: None,
) -> Gathered:
    """Store the pages of a set as they arrive, then write its `raw_page_index`. Nobody else writes it.

    A few threads store them, as a disk takes milliseconds to confirm each. Pages that arrived before an error stay
    stored.

    Args:
        lake: the lake.
        page_set: key of the set.
        pages: its pages.
        on_stored: called with each page that arrived in full, once it is stored.

    Raises:
        PagesMissing: `pages` raised it.
        LakeError: `pages` raised it, or the lake cannot be written, even if `pages` raised something else.
    """
    facts: list[PageFacts] = []
    fetched = 0
    writing = deque[tuple[Page, Future[PageFacts]]]()

    def finish_one() -> None:
        page, written = writing.popleft()
        facts.append(written.result())
        on_stored(StoredPage(facts[-1], pa.py_buffer(page.body)))

    with ThreadPoolExecutor(WRITERS) as writers:
        try:
            for page in pages:
                if isinstance(page, PageFacts):
                    facts.append(page)
                    continue
                if len(writing) == WRITERS:
                    finish_one()
                writing.append((page, writers.submit(raw_pages.write_page, lake, page)))
                fetched += 1
        except Exception:
            for _, written in writing:
                written.result()  # raises the lake's error, if there is one
            raise
        while writing:
            finish_one()
    facts.sort(key=lambda one: one.page)
    rows = tables.with_origin(raw_pages.index(facts), origin(RAW_PAGE_INDEX, facts))
    return Gathered(facts, fetched, tables.write_table(lake, RAW_PAGE_INDEX, rows, page_set))
