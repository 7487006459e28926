"""The landing zone: files that were dropped into the lake are taken in as Browse pages or as objects, and counted.

How files are listed, decompressed and moved is known in `lake.landing`; when it is looked at, in `automation`.

A file is put away last of all, when its pages are stored and counted, or cannot be counted for a reason that no later
look would mend: whatever happens before, it is taken in again and gives the same pages.
"""

import codecs
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from neo_assets.lake import landing_zone, owner, raw_pages, tables
from neo_assets.lake.landing_zone import Content, LandedFile
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import EXPECTED
from neo_assets.pipeline import landed
from neo_assets.pipeline.staleness import page_index
from neo_assets.pipeline.text import counted as said
from neo_assets.pipeline.text import some
from neo_assets.schema.page_sets import LANDED, page_set_keys, pages_of
from neo_assets.schema.pages import NASA, SIMULATOR, Page, PageFacts
from neo_assets.schema.tables import NEOS_PER_PAGE, QUARANTINE, RAW_PAGE_INDEX
from neo_assets.settings import MAX_PAGES, Settings
from neo_assets.sources.neows.errors import NotAPage
from neo_assets.sources.neows.pages import envelope_of
from neo_assets.sources.neows.redact import redact

_ENDINGS = {f".{kind}{compression}": kind for kind in ("json", "ndjson") for compression in ("", ".gz", ".zst")}

_OBJECTS_PER_PAGE = 200
_NUMBERS = 2_000_000_000


class Unreadable(Exception):
    """A file cannot be taken in; the message says why, beginning with "it"."""


@dataclass
class Report:
    """What was done, in words: with each file, and with each page set that it touched."""

    files: dict[str, str] = field(default_factory=dict)
    counted: dict[str, str] = field(default_factory=dict)
    claimed: str = ""
    """Whose data an empty lake is taken to hold now."""
    set_aside: list[str] = field(default_factory=list)
    """The files that could not be read."""
    failed: list[str] = field(default_factory=list)
    """The page sets, or totals, that could not be computed."""

    @property
    def lines(self) -> list[str]:
        """A line for each file and page set."""
        lines = [f"{name}: {what}" for name, what in (self.files | self.counted).items()]
        return [*lines, self.claimed] if self.claimed else lines


@dataclass(frozen=True)
class _Taken:
    """A file whose pages are stored."""

    file: LandedFile
    to_clean: bool
    pages: list[PageFacts]


class Landing:
    """One look at the landing zone."""

    def __init__(
        self,
        lake: Storage,
        settings: Settings,
        instance: dg.DagsterInstance,
        execute: Callable[[str, str | None], object],
    ) -> None:
        """
        Args:
            lake: the lake.
            settings: which page sets there are, and the keys that must not be kept.
            instance: is told of the Browse pages that came.
            execute: runs a job: `recompute` of a page set, or `totals`.
        """
        self._lake = lake
        self._settings = settings
        self._instance = instance
        self._execute = execute
        self._report = Report()
        self._owner: str | None = None

    def take_in(self, settled_s: float = 0) -> Report:
        """Take in what waits, count it, put it away.

        Args:
            settled_s: files changed in the last so many seconds are left for the next look.

        Raises:
            LakeError: the lake cannot be read or written.
        """
        taken = [one for file in landing_zone.waiting(self._lake, settled_s) if (one := self._take(file))]
        numbers = {facts.page for one in taken for facts in one.pages}
        counted = self._count_page_sets({number for number in numbers if number < MAX_PAGES})
        if self._attempt("landed objects", lambda: landed.compute_outdated(self._lake)):
            counted.append(LANDED)
        if counted:
            self._attempt("totals", lambda: self._run("totals"))
        in_quarantine = Counter(tables.read_page_sets(self._lake, QUARANTINE, counted)["page"].to_pylist())
        for one in taken:
            left = self._left(partial(landing_zone.archive, self._lake, one.file, self._clean, one.to_clean))
            bad = sum(in_quarantine[facts.page] for facts in one.pages)
            self._report.files[self._name(one.file)] = ", ".join(
                [*self._what(one.pages), *([f"{bad:,} of them in quarantine"] if bad else []), *left]
            )
        return self._report

    def _take(self, file: LandedFile) -> _Taken | None:
        """Store a file's pages, or set it aside; None where there are none."""
        try:
            content = landing_zone.read(self._lake, file)
        except FileNotFoundError:  # another process was quicker
            self._report.files[self._name(file)] = "gone before it could be read"
            return None
        to_clean = content.is_changed_by(self._clean)
        try:
            return _Taken(file, to_clean, self._store(file, content))
        except Unreadable as error:
            self._set_aside(file, to_clean, str(error))
            return None

    def _set_aside(self, file: LandedFile, to_clean: bool, why: str) -> None:
        reason = self._clean(why.encode()).decode()
        left = self._left(partial(landing_zone.set_aside, self._lake, file, reason, self._clean, to_clean))
        if not left:
            self._report.set_aside.append(self._name(file))
        self._report.files[self._name(file)] = ", ".join([reason, *left]) if left else f"SET ASIDE: {reason}"

    def _left(self, put_away: Callable[[], str | None]) -> list[str]:
        """Put a file away; where that was not to be done, in words why."""
        try:
            return [] if put_away() else ["left, as it has changed since"]
        except FileNotFoundError:
            return ["put away by another process meanwhile"]

    def _clean(self, data: bytes) -> bytes:
        return redact(data, self._settings.keys)

    def _name(self, file: LandedFile) -> str:
        return self._clean(file.name.encode()).decode()

    def _what(self, pages: list[PageFacts]) -> list[str]:
        """What was in a file, in words."""
        number, neos = pages[0].page, sum(facts.neos for facts in pages)
        if number >= MAX_PAGES:
            return [said(neos, "object")]
        outside = number >= self._settings.pages
        return [
            f"page {number}",
            said(neos, "NEO"),
            *([f"kept but not counted, as NEO_PAGES is {self._settings.pages}"] if outside else []),
        ]

    def _attempt(self, what: str, act: Callable[[], bool]) -> bool:
        """Do something that may go wrong without the rest being wrong; says whether it was done, as `act` does.

        What may be well again later is raised: no file is put away then, and all of it is done at the next look.
        """
        try:
            if not act():
                return False
        except (*EXPECTED, dg.Failure) as error:
            cause = error.__cause__ if isinstance(error, dg.Failure) and error.__cause__ else error
            if getattr(cause, "retryable", False):
                raise cause from None
            self._fail(what, error)
            return False
        self._report.counted[what] = "computed"
        return True

    def _run(self, job: str, page_set: str | None = None) -> bool:
        self._execute(job, page_set)
        return True

    def _fail(self, what: str, why: object) -> None:
        self._report.failed.append(what)
        self._report.counted[what] = f"FAILED: {why}"

    def _store(self, file: LandedFile, content: Content) -> list[PageFacts]:
        """Store a file's pages.

        Raises:
            Unreadable: it has none.
        """
        kind = next((kind for ending, kind in _ENDINGS.items() if file.name.lower().endswith(ending)), None)
        if kind is None:
            raise Unreadable(f"its name ends in none of {', '.join(_ENDINGS)}")
        lake_source = self._owner or owner.source_of(self._lake) or (SIMULATOR if self._settings.simulated else NASA)
        try:
            pages = (
                [self._page(content, lake_source)] if kind == "json" else self._pages_of_objects(content, lake_source)
            )
            self._claim(lake_source)
            return [raw_pages.write_page(self._lake, page, self._name(file)) for page in pages]
        except OSError as error:
            raise Unreadable(f"it cannot be decompressed: {error}") from None

    def _claim(self, lake_source: str) -> None:
        """Make the lake one of this source; what a file holds does not tell whether it is simulated."""
        if self._owner:
            return
        if owner.claim(self._lake, lake_source):
            other = (
                "NASA's data set NASA_API_KEYS" if lake_source == SIMULATOR else "simulated data unset NASA_API_KEYS"
            )
            self._report.claimed = (
                f"The lake was empty and is taken to hold {lake_source} data from now on; for {other}, and NEO_LAKE to "
                "another place, before you drop the files there."
            )
        self._owner = lake_source

    def _page(self, content: Content, owner: str) -> Page:
        """The Browse page that a file is."""
        body = self._clean(b"".join(content.lines())).removeprefix(codecs.BOM_UTF8)
        try:
            envelope = envelope_of(body)
            json.loads(body)  # which is stricter, and reads the page where an object on it is unreadable
        except NotAPage as error:
            raise Unreadable(f"it {error}") from None
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is not JSON: {error}") from None
        if envelope.size not in (None, NEOS_PER_PAGE) or envelope.neos > NEOS_PER_PAGE:
            raise Unreadable(
                f"it is cut into pages of {envelope.size or envelope.neos} NEOs and not of {NEOS_PER_PAGE}, so its "
                "number says nothing: give its objects as .ndjson"
            )
        if not 0 <= envelope.number < MAX_PAGES:
            raise Unreadable(f"it is page {envelope.number}, and there are pages 0 to {MAX_PAGES - 1}")
        return Page(envelope.number, body, datetime.now(UTC), owner, envelope.neos, envelope.total_elements)

    def _pages_of_objects(self, content: Content, owner: str) -> Iterator[Page]:
        """The objects of a file in pages like those of Browse; all of it was read before the first is given."""
        are_objects = [is_object for _, is_object in self._objects(content)]
        if not any(are_objects):
            raise Unreadable(f"none of its {len(are_objects)} lines is a JSON object" if are_objects else "it is empty")
        return self._cut(self._objects(content), owner, len(are_objects))

    def _cut(self, objects: Iterator[tuple[bytes, bool]], owner: str, total: int) -> Iterator[Page]:
        at = datetime.now(UTC)
        while values := [value for value, _ in itertools.islice(objects, _OBJECTS_PER_PAGE)]:
            body = b'{"near_earth_objects":[' + b",".join(values) + b"]}"
            yield Page(self._number(body), body, at, owner, len(values), total)
            at += timedelta(microseconds=1)  # the later line came later

    def _objects(self, content: Content) -> Iterator[tuple[bytes, bool]]:
        """Each line as a JSON value, and whether it is an object; a line that is no JSON becomes a string of it."""
        for line in content.lines():
            if line := self._clean(line).removeprefix(codecs.BOM_UTF8).strip():
                try:
                    yield line, isinstance(json.loads(line.decode()), dict)
                except (ValueError, RecursionError):
                    text = line.decode(errors="backslashreplace")
                    yield json.dumps(text, ensure_ascii=False).encode(), False

    def _number(self, body: bytes) -> int:
        """Where a page of objects goes, by what is in it: the same content always to the same place."""
        sha256 = hashlib.sha256(body).hexdigest()
        number = landed.FIRST_NUMBER + int(sha256, 16) % _NUMBERS
        while (facts := raw_pages.read_facts(self._lake, number)) and facts.sha256 != sha256:
            number += 1
        return number

    def _count_page_sets(self, numbers: set[int]) -> list[str]:
        """Compute the page sets anew that these pages belong to; which of them that was."""
        keys = page_set_keys(self._settings.pages, self._settings.pages_per_set)
        affected = {key: pages_of(key) for key in keys if not numbers.isdisjoint(pages_of(key))}
        counted, damaged = [], set[int]()
        for key, facts in raw_pages.known_facts(self._lake, affected, damaged.add).items():
            if spoilt := sorted(damaged.intersection(affected[key])):
                self._fail(f"page set {key}", f"page {some(spoilt)} is damaged: `neo run` fetches it again")
                continue
            if lacking := len(affected[key]) - len(facts):
                self._report.counted[f"page set {key}"] = f"not computed yet, as it lacks {said(lacking, 'page')}"
                continue
            tables.write_table(self._lake, RAW_PAGE_INDEX, page_index(facts), key)
            came = sorted(numbers.intersection(affected[key]))
            self._instance.report_runless_asset_event(
                dg.AssetMaterialization("raw_pages", partition=key, metadata={"pages landed": came})
            )
            if self._attempt(f"page set {key}", partial(self._run, "recompute", key)):
                counted.append(key)
        return counted
