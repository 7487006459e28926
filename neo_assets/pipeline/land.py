"""Take in files from the landing zone: store their content as pages in the lake. Computing tables from them happens
elsewhere; listing, decompressing and moving files lives in `lake.landing_zone`.

A file leaves the landing zone only after its pages are stored. If a run dies before that, the next one takes the file
in again and stores the same pages.
"""

import codecs
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Literal, NamedTuple

from neo_assets.lake import landing_zone, owner, raw_pages
from neo_assets.lake.landing_zone import Content, LandedFile
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.quarantine import LINES
from neo_assets.pipeline.text import printable, quantity
from neo_assets.schema.facts import NEOS_PER_PAGE
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, MAX_PAGES, page_sets_of
from neo_assets.schema.pages import NASA, SIMULATOR, Page, PageFacts
from neo_assets.settings import Settings
from neo_assets.sources.neows.errors import NotAPage, OtherJson
from neo_assets.sources.neows.pages import ALWAYS_LISTED, document_of, envelope_of
from neo_assets.sources.neows.redact import redact

ENDINGS = {f".{kind}{compression}": kind for kind in ("json", "ndjson") for compression in ("", ".gz", ".zst")}
"""How the names of files end that are taken in, whatever the case, and what they hold."""

_EXPECTED = "drop whole Browse pages as .json, and single NEOs as .ndjson, one on each line"

_OBJECTS_PER_PAGE = 200

_NUMBER_RANGE = 2_000_000_000
"""Pages of landed objects take their numbers from this many, above `FIRST_LANDED_PAGE`."""


class Unreadable(Exception):
    """A file cannot be taken in; the message gives the reason and starts with "it" or "its"."""


@dataclass
class TakenIn:
    """A file from the landing zone, and what was done with it."""

    file: str
    """Its path below `landing/`, API keys redacted, control characters escaped."""
    pages: Sequence[PageFacts] = ()
    """The pages stored from it."""
    refused: str = ""
    """Why nothing was stored from it; empty if it was readable."""
    stays: bool = False
    """Whether it was left in the landing zone because it may hold an API key that cannot be redacted."""
    claimed: str = ""
    """A notice for the user if this file decided which source the lake belongs to, else empty."""
    notes: list[str] = field(default_factory=list)
    """Anything unusual, such as a file that another process moved."""

    @property
    def is_set_aside(self) -> bool:
        """Whether it was moved to quarantine."""
        return bool(self.refused) and not self.notes and not self.stays

    def outcome(self, settings: Settings, in_quarantine: int = 0, discarded: int = 0) -> str:
        """What was done with it, in words.

        Args:
            settings: decide whether its page is among those that the totals cover.
            in_quarantine: number of its records that could not be read.
            discarded: number of further ones that were discarded from the quarantine before.
        """
        if self.refused:
            where = "SET ASIDE: " if self.is_set_aside else "LEFT IN PLACE: " if self.stays else ""
            return where + ", ".join([self.refused, *self.notes])
        counts = {"in quarantine": in_quarantine, "discarded before": discarded}
        unreadable = [f"{count:,} of them {where}" for where, count in counts.items() if count]
        return ", ".join([*self._content(settings), *unreadable, *self.notes])

    def _content(self, settings: Settings) -> list[str]:
        if not self.pages:
            return []
        number, neos = self.pages[0].page, sum(facts.neos for facts in self.pages)
        if number >= FIRST_LANDED_PAGE:
            return [quantity(neos, "object")]
        outside = f"stored but not in the totals, as NEO_PAGES is {settings.pages}"
        return [f"page {number}", quantity(neos, "NEO"), *([outside] if number >= settings.pages else [])]


def affected_page_sets(settings: Settings, pages: Iterable[PageFacts]) -> list[str]:
    """Page sets that contain these landed pages, including the landed objects' own set."""
    return page_sets_of({facts.page for facts in pages}, settings.page_sets)


def take_in(lake: Storage, settings: Settings, settled_s: float = 0) -> Iterator[TakenIn]:
    """Take in the waiting files, one after another.

    Each file is yielded once its pages are stored, and archived when the next one is requested.

    Args:
        lake: the lake.
        settings: name the API keys to redact, and the source that an empty lake will belong to.
        settled_s: files changed within this many seconds are left for the next time.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    landing = _Landing(lake, settings)
    for file in landing_zone.waiting(lake, settled_s):
        yield from landing.take(file)


class _Line(NamedTuple):
    """A line of a file of objects."""

    number: int
    """Its position in the file, from 1."""
    value: bytes
    kind: Literal["object", "response", "other"]


class _Landing:
    """One pass over the landing zone."""

    def __init__(self, lake: Storage, settings: Settings) -> None:
        self._lake = lake
        self._settings = settings
        self._owner: str | None = None

    def take(self, file: LandedFile) -> Iterator[TakenIn]:
        """Store a file's pages and archive it, set it aside, or leave it in place if it is damaged."""
        taken = TakenIn(printable(self._clean(file.name.encode()).decode()))
        try:
            content = landing_zone.read(self._lake, file)
        except FileNotFoundError:
            taken.notes.append("another process moved it before it could be read")
            yield taken
            return
        try:
            to_clean = content.is_changed_by(self._clean)
        except OSError as error:
            taken.refused = f"it cannot be decompressed ({error}), nor searched for API keys: replace or delete it"
            taken.stays = True
            yield taken
            return
        try:
            taken.pages, taken.claimed = self._store(taken.file, content)
        except Unreadable as error:
            taken.refused = self._clean(str(error).encode()).decode()
            put_away = partial(landing_zone.set_aside, self._lake, file, taken.refused, self._clean, to_clean)
            taken.notes += _put_away(put_away)
            yield taken
        else:
            yield taken
            taken.notes += _put_away(partial(landing_zone.archive, self._lake, file, self._clean, to_clean))

    @cached_property
    def _lead(self) -> timedelta:
        return raw_pages.lead(self._lake)

    def _clean(self, data: bytes) -> bytes:
        return redact(data, self._settings.keys)

    def _store(self, name: str, content: Content) -> tuple[list[PageFacts], str]:
        """Store a file's pages. Returns them, and a notice if the lake was empty before.

        Raises:
            Unreadable: the file holds no page and no object.
        """
        kind = next((kind for ending, kind in ENDINGS.items() if name.lower().endswith(ending)), None)
        if kind is None:
            raise Unreadable(f"its name does not end in any of {', '.join(ENDINGS)}")
        source = self._owner or owner.source_of(self._lake) or (SIMULATOR if self._settings.simulated else NASA)
        try:
            pages = [self._page(content, source)] if kind == "json" else self._pages_of_objects(content, source)
            claimed = self._claim(source)
            return [raw_pages.write_page(self._lake, page, name) for page in pages], claimed
        except OSError as error:
            raise Unreadable(f"it cannot be decompressed: {error}") from None

    def _claim(self, source: str) -> str:
        """Make the lake belong to this source. It comes from the settings, as files do not show theirs."""
        if self._owner:
            return ""
        was_empty = owner.claim(self._lake, source)
        self._owner = source
        if not was_empty:
            return ""
        other = "NASA's data, set NASA_API_KEYS" if source == SIMULATOR else "simulated data, unset NASA_API_KEYS"
        return (
            f"The lake was empty and belongs to {source} from now on. For {other} and point NEO_LAKE to another place "
            "before you drop files there."
        )

    def _page(self, content: Content, source: str) -> Page:
        """Read a file as one Browse page."""
        body = self._clean(b"".join(content.lines())).removeprefix(codecs.BOM_UTF8)
        try:
            envelope = envelope_of(body)
            entries = document_of(body)["near_earth_objects"]  # stricter than `envelope_of`
        except OtherJson as error:
            raise Unreadable(f"it {error}: {_EXPECTED}") from None
        except NotAPage as error:
            raise Unreadable(f"it {error}") from None
        if envelope.size not in (None, NEOS_PER_PAGE) or envelope.neos > NEOS_PER_PAGE:
            raise Unreadable(
                f"it is a page of {envelope.size or envelope.neos} NEOs, not {NEOS_PER_PAGE}, so its page number has "
                "no meaning here: drop its objects as .ndjson instead"
            )
        for index, entry in enumerate(entries):
            given = {name for name, value in entry.items() if value is not None} if isinstance(entry, dict) else set()
            if missing := [name for name, beside in ALWAYS_LISTED.items() if beside in given and name not in given]:
                raise Unreadable(
                    f"it is no Browse page: near_earth_objects[{index}] lacks {' and '.join(missing)}, like an object "
                    "from NeoWs's feed"
                )
        if not 0 <= envelope.number < MAX_PAGES:
            raise Unreadable(f"it is page {envelope.number}, but pages are numbered from 0 to {MAX_PAGES - 1}")
        lead, at = self._lead, datetime.now(UTC)
        return Page(envelope.number, body, at, source, envelope.neos, envelope.total_elements).dated_later(lead)

    def _pages_of_objects(self, content: Content, source: str) -> Iterator[Page]:
        """Pack a file's objects into pages like those of Browse, once the whole file was read."""
        kinds = Counter(line.kind for line in self._lines(content))
        if not kinds:
            raise Unreadable("it is empty")
        if not kinds["object"]:
            none = f"none of its {kinds.total()} lines is a single NEO"
            raise Unreadable(
                f"{'it holds whole responses, not single NEOs' if kinds['response'] else none}: {_EXPECTED}"
            )
        return self._cut(self._lines(content), source, kinds.total())

    def _cut(self, lines: Iterator["_Line"], source: str, total: int) -> Iterator[Page]:
        lead, at = self._lead, datetime.now(UTC)
        while some := list(itertools.islice(lines, _OBJECTS_PER_PAGE)):
            numbers = json.dumps([line.number for line in some], separators=(",", ":")).encode()
            body = b'{"near_earth_objects":[%b],"%b":%b}' % (
                b",".join(line.value for line in some),
                LINES.encode(),
                numbers,
            )
            yield Page(self._number(body), body, at, source, len(some), total).dated_later(lead)
            at += timedelta(microseconds=1)  # so that of two copies, the one on the later line supersedes the other

    def _lines(self, content: Content) -> Iterator["_Line"]:
        """Each line that is not blank as a JSON value; one that is not JSON becomes a JSON string."""
        for number, line in enumerate(content.lines(), 1):
            if line := self._clean(line).removeprefix(codecs.BOM_UTF8).strip():
                try:
                    value = json.loads(line.decode())
                except (ValueError, RecursionError):
                    text = line.decode(errors="backslashreplace")
                    yield _Line(number, json.dumps(text, ensure_ascii=False).encode(), "other")
                    continue
                match value:
                    case {"near_earth_objects": _}:
                        yield _Line(number, line, "response")
                    case dict():
                        yield _Line(number, line, "object")
                    case _:
                        yield _Line(number, line, "other")

    def _number(self, body: bytes) -> int:
        """Page number for a page of objects, derived from its content: equal content gets the same number."""
        sha256 = hashlib.sha256(body).hexdigest()
        number = FIRST_LANDED_PAGE + int(sha256, 16) % _NUMBER_RANGE
        while (facts := raw_pages.read_facts(self._lake, number)) and facts.sha256 != sha256:
            number += 1
        return number


def _put_away(put_away: Callable[[], str | None]) -> list[str]:
    """Put a file away. Returns a note if it could not be."""
    try:
        return [] if put_away() else ["left in place, as it changed in the meantime"]
    except FileNotFoundError:
        return ["another process moved it in the meantime"]
