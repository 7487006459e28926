"""Files from the landing zone into the lake, as Browse pages or as objects. Nothing is computed from them here; how
files are listed, decompressed and moved lives in `lake.landing_zone`.

A file leaves the landing zone only after its pages are stored. A run that dies before that takes the file in again, and
stores the same pages.
"""

import codecs
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from neo_assets.lake import landing_zone, owner, raw_pages
from neo_assets.lake.landing_zone import Content, LandedFile
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.text import counted
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, LANDED, MAX_PAGES, pages_of
from neo_assets.schema.pages import NASA, SIMULATOR, Page, PageFacts
from neo_assets.schema.tables import NEOS_PER_PAGE
from neo_assets.settings import Settings
from neo_assets.sources.neows.errors import NotAPage
from neo_assets.sources.neows.pages import envelope_of
from neo_assets.sources.neows.redact import redact

_ENDINGS = {f".{kind}{compression}": kind for kind in ("json", "ndjson") for compression in ("", ".gz", ".zst")}

_OBJECTS_PER_PAGE = 200
_NUMBERS = 2_000_000_000


class Unreadable(Exception):
    """A file cannot be taken in; the message gives the reason and begins with "it"."""


@dataclass
class TakenIn:
    """A file of the landing zone and what became of it."""

    file: str
    """Its name below `landing/`, keys redacted."""
    pages: Sequence[PageFacts] = ()
    """The pages that were stored from it."""
    refused: str = ""
    """Why nothing was stored from it."""
    claimed: str = ""
    """A line that names the source which an empty lake now belongs to."""
    notes: list[str] = field(default_factory=list)
    """What else is worth a word."""

    @property
    def is_set_aside(self) -> bool:
        """Whether it was moved to the quarantine."""
        return bool(self.refused) and not self.notes

    def outcome(self, settings: Settings, in_quarantine: int = 0) -> str:
        """What became of it, in words.

        Args:
            settings: tell whether a page is among those that totals cover.
            in_quarantine: how many of its records could not be read.
        """
        if self.refused:
            return f"{'SET ASIDE: ' if self.is_set_aside else ''}{', '.join([self.refused, *self.notes])}"
        unreadable = [f"{in_quarantine:,} of them in quarantine"] if in_quarantine else []
        return ", ".join([*self._content(settings), *unreadable, *self.notes])

    def _content(self, settings: Settings) -> list[str]:
        if not self.pages:
            return []
        number, neos = self.pages[0].page, sum(facts.neos for facts in self.pages)
        if number >= FIRST_LANDED_PAGE:
            return [counted(neos, "object")]
        outside = f"kept but not counted, as NEO_PAGES is {settings.pages}"
        return [f"page {number}", counted(neos, "NEO"), *([outside] if number >= settings.pages else [])]


def affected_page_sets(settings: Settings, pages: Iterable[PageFacts]) -> list[str]:
    """Page sets that these landed pages belong to, the landed objects among them."""
    numbers = {facts.page for facts in pages}
    affected = [key for key in settings.page_sets if not numbers.isdisjoint(pages_of(key))]
    return [*affected, LANDED] if any(number >= FIRST_LANDED_PAGE for number in numbers) else affected


def take_in(lake: Storage, settings: Settings, settled_s: float = 0) -> Iterator[TakenIn]:
    """Take in the files that wait, one after another.

    A file is yielded when its pages are stored. It moves to the archive when the next one is asked for.

    Args:
        lake: the lake.
        settings: the keys that must not be kept, and the source that an empty lake then belongs to.
        settled_s: files changed in the last so many seconds stay for the next look.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    landing = _Landing(lake, settings)
    for file in landing_zone.waiting(lake, settled_s):
        yield from landing.take(file)


class _Landing:
    """One look at the landing zone."""

    def __init__(self, lake: Storage, settings: Settings) -> None:
        self._lake = lake
        self._settings = settings
        self._owner: str | None = None

    def take(self, file: LandedFile) -> Iterator[TakenIn]:
        """Store a file's pages and archive it, or set it aside."""
        taken = TakenIn(self._clean(file.name.encode()).decode())
        try:
            content = landing_zone.read(self._lake, file)
        except FileNotFoundError:
            taken.notes.append("another process took it before it could be read")
            yield taken
            return
        to_clean = content.is_changed_by(self._clean)
        try:
            taken.pages, taken.claimed = self._store(taken.file, content)
        except Unreadable as error:
            taken.refused = self._clean(str(error).encode()).decode()
            put_away = partial(landing_zone.set_aside, self._lake, file, taken.refused, self._clean, to_clean)
            taken.notes += _left(put_away)
            yield taken
        else:
            yield taken
            taken.notes += _left(partial(landing_zone.archive, self._lake, file, self._clean, to_clean))

    def _clean(self, data: bytes) -> bytes:
        return redact(data, self._settings.keys)

    def _store(self, name: str, content: Content) -> tuple[list[PageFacts], str]:
        """Store a file's pages; returns them, and a line where the lake was empty.

        Raises:
            Unreadable: it has none.
        """
        kind = next((kind for ending, kind in _ENDINGS.items() if name.lower().endswith(ending)), None)
        if kind is None:
            raise Unreadable(f"its name ends in none of {', '.join(_ENDINGS)}")
        source = self._owner or owner.source_of(self._lake) or (SIMULATOR if self._settings.simulated else NASA)
        try:
            pages = [self._page(content, source)] if kind == "json" else self._pages_of_objects(content, source)
            claimed = self._claim(source)
            return [raw_pages.write_page(self._lake, page, name) for page in pages], claimed
        except OSError as error:
            raise Unreadable(f"it cannot be decompressed: {error}") from None

    def _claim(self, source: str) -> str:
        """Let the lake belong to this source: a file's content does not show whether it is simulated."""
        if self._owner:
            return ""
        was_empty = owner.claim(self._lake, source)
        self._owner = source
        if not was_empty:
            return ""
        other = "NASA's data, set NASA_API_KEYS" if source == SIMULATOR else "simulated data, unset NASA_API_KEYS"
        return (
            f"The lake was empty and belongs to {source} from now on. For {other} and point NEO_LAKE to another place "
            "before you drop the files there."
        )

    def _page(self, content: Content, source: str) -> Page:
        """The Browse page that a file is."""
        body = self._clean(b"".join(content.lines())).removeprefix(codecs.BOM_UTF8)
        try:
            envelope = envelope_of(body)
            json.loads(body)  # stricter, and it reads a page on which a single object is unreadable
        except NotAPage as error:
            raise Unreadable(f"it {error}") from None
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is not JSON: {error}") from None
        if envelope.size not in (None, NEOS_PER_PAGE) or envelope.neos > NEOS_PER_PAGE:
            raise Unreadable(
                f"it comes from pages of {envelope.size or envelope.neos} NEOs, not {NEOS_PER_PAGE}, so its page "
                "number means nothing here: give its objects as .ndjson"
            )
        if not 0 <= envelope.number < MAX_PAGES:
            raise Unreadable(f"it is page {envelope.number}, and pages run from 0 to {MAX_PAGES - 1}")
        return Page(envelope.number, body, datetime.now(UTC), source, envelope.neos, envelope.total_elements)

    def _pages_of_objects(self, content: Content, source: str) -> Iterator[Page]:
        """The objects of a file in pages like those of Browse. The whole file is read before the first page comes."""
        are_objects = [is_object for _, is_object in self._objects(content)]
        if not any(are_objects):
            raise Unreadable(f"none of its {len(are_objects)} lines is a JSON object" if are_objects else "it is empty")
        return self._cut(self._objects(content), source, len(are_objects))

    def _cut(self, objects: Iterator[tuple[bytes, bool]], source: str, total: int) -> Iterator[Page]:
        at = datetime.now(UTC)
        while values := [value for value, _ in itertools.islice(objects, _OBJECTS_PER_PAGE)]:
            body = b'{"near_earth_objects":[' + b",".join(values) + b"]}"
            yield Page(self._number(body), body, at, source, len(values), total)
            at += timedelta(microseconds=1)  # of two copies, the one on the later line is newer

    def _objects(self, content: Content) -> Iterator[tuple[bytes, bool]]:
        """Each line as a JSON value, and whether that is an object. A line that is not JSON becomes a JSON string."""
        for line in content.lines():
            if line := self._clean(line).removeprefix(codecs.BOM_UTF8).strip():
                try:
                    yield line, isinstance(json.loads(line.decode()), dict)
                except (ValueError, RecursionError):
                    text = line.decode(errors="backslashreplace")
                    yield json.dumps(text, ensure_ascii=False).encode(), False

    def _number(self, body: bytes) -> int:
        """Number of a page of objects, derived from its content: the same content always gets the same number."""
        sha256 = hashlib.sha256(body).hexdigest()
        number = FIRST_LANDED_PAGE + int(sha256, 16) % _NUMBERS
        while (facts := raw_pages.read_facts(self._lake, number)) and facts.sha256 != sha256:
            number += 1
        return number


def _left(put_away: Callable[[], str | None]) -> list[str]:
    """Put a file away; if that was not to be done, why."""
    try:
        return [] if put_away() else ["left in place, as it has changed since"]
    except FileNotFoundError:
        return ["another process has put it away meanwhile"]
