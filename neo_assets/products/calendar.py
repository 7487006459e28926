"""The calendar of approaches to come, `upcoming.ics` (RFC 5545), and the same approaches as `upcoming.csv`.

What is revised or withdrawn shows in the events' SEQUENCE and STATUS; the former file in the lake says what they were.
Finding the approaches is in `upcoming`, recognizing a revised one in `revisions`.
"""

import copy
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from urllib.parse import quote_plus, unquote_plus

import pyarrow as pa
from icalendar import STATUS, TRANSP, Calendar, Event

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.lake.tables import digest
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import printable
from neo_assets.products import index
from neo_assets.products.revisions import MOST_MOVED, paired
from neo_assets.products.spreadsheet import as_csv
from neo_assets.products.upcoming import Approach, EarthApproaches, as_rows
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE

logger = logging.getLogger(__name__)

WITHIN_AU = 0.05
"""The approaches shown are those at most this far from Earth, in au: as in JPL's table of close approaches
(https://cneos.jpl.nasa.gov/ca/), and the distance at which a NEO may be potentially hazardous.
"""

DAYS = 365
"""How many days after today's date (UTC) the last date shown is."""

CALENDAR, TABLE = "upcoming.ics", "upcoming.csv"
"""The files, by their names among the products."""

_OURS = "neo_assets"
_PRODUCER = "-//neo_assets//close approaches//EN"


@dataclass(frozen=True)
class Upcoming:
    """Both files as they now are in the lake, and how the calendar differs from the one before."""

    rows: pa.Table
    """The rows of `upcoming.csv`, in the order of time."""
    new: int
    revised: int
    cancelled: int
    """How many events were cancelled now; those that were cancelled before are not among them."""


def write_upcoming(lake: Storage, metrics: Metrics, page_sets: Sequence[str], now: datetime) -> Upcoming:
    """Write `upcoming.ics` and `upcoming.csv`, unless they are in the lake as they would be written.

    They depend on the tables, the date of `now` (UTC) and the former calendar only.

    Args:
        lake: the lake.
        metrics: finds superseded copies of NEOs.
        page_sets: the page sets that the settings ask for.
        now: approaches of this date and of the next 365 are shown.

    Raises:
        LakeError: the lake holds no NEOs, a table is missing or damaged, or a file cannot be written.
    """
    approaches, window = EarthApproaches(lake, metrics, page_sets), Window.at(now)
    around = approaches.between(window.first - MOST_MOVED, window.end + MOST_MOVED)
    revision = _Revision(approaches, window, _former(lake))
    events = revision.events(around)
    rows = as_rows([one for one in around if window.shows(one)], approaches.source)
    made_from = origin(approaches, window)
    _store(lake, CALENDAR, _calendar(events, approaches.is_simulated).to_ical(), made_from, len(events))
    _store(lake, TABLE, as_csv(rows), made_from, rows.num_rows)
    counted = revision.counted
    return Upcoming(rows, counted["new"], counted["revised"], counted["cancelled"])


def origin(approaches: EarthApproaches, window: "Window") -> str:
    """A digest of what both files are made from, apart from the former calendar."""
    return digest([approaches.state, f"{window.first:%Y-%m-%d}"])


def read_events(data: bytes) -> list[Event]:
    """The events of a calendar that this module made.

    Raises:
        ValueError: it is damaged, or something else.
    """
    calendar = Calendar.from_ical(data)
    if not isinstance(calendar, Calendar) or calendar.get("PRODID") != _PRODUCER:
        raise ValueError("not a calendar of neo_assets")
    events = calendar.events
    for event in events:
        _ = designation_of(event)
        _ = start_of(event)
        if event.errors or not event.last_modified or event.status not in (STATUS.CONFIRMED, STATUS.CANCELLED):
            raise ValueError(f"the event {event.uid} cannot be read")
    if len({event.uid for event in events}) < len(events):
        raise ValueError("two events have the same UID")
    return events


def is_cancelled(event: Event) -> bool:
    """Whether an event was withdrawn."""
    return bool(event.status == STATUS.CANCELLED)


def designation_of(event: Event) -> str:
    """The principal designation of the NEO that an event is about, from the event's UID.

    Raises:
        ValueError: the UID is not one of ours.
    """
    _, _, name = event.uid.split(".", 2)
    return unquote_plus(name.removesuffix(f"@{_OURS}"))


def start_of(event: Event) -> datetime:
    """The time of the approach that an event is about.

    Raises:
        ValueError: it is not a time in UTC.
    """
    start = event.start
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise ValueError(f"the event {event.uid} has no time in UTC")
    return start


def is_unknown(event: Event, data: EarthApproaches) -> bool:
    """Whether nothing can be said of the event's NEO: the lake lacks it, perhaps because page sets are missing."""
    return data.page_sets_missing > 0 and designation_of(event) not in data.stamps


@dataclass(frozen=True)
class Window:
    """The approaches that the calendar shows: those near enough, of today's date (UTC) and of the next 365.

    Whole dates, so that the calendar changes with its data, and at most once a day without.
    """

    first: datetime
    end: datetime
    """The first time that is too late."""

    @classmethod
    def at(cls, now: datetime) -> "Window":
        """The approaches that are shown at this time."""
        midnight = datetime.combine(now.astimezone(UTC), time(tzinfo=UTC))
        return cls(midnight, midnight + timedelta(days=DAYS + 1))

    def shows(self, approach: Approach) -> bool:
        """Whether this approach is one of them."""
        return self.first <= approach.close_approach_at < self.end and approach.miss_distance_au <= WITHIN_AU


class _Revision:
    """The events of a calendar, made from those of the former one."""

    def __init__(self, data: EarthApproaches, window: Window, former: Sequence[Event]) -> None:
        self._data, self._window, self._former = data, window, former
        self._uids = {event.uid for event in former}
        self.counted: Counter[str] = Counter()

    def events(self, around: Sequence[Approach]) -> list[Event]:
        """The events, in the order of time.

        Args:
            around: all approaches of the time that the calendar covers, and of some days before and after.
        """
        names = {one.designation for one in around} | {designation_of(event) for event in self._former}
        approaches = {name: list[Approach]() for name in names}
        former = {name: list[Event]() for name in names}
        for one in around:
            approaches[one.designation].append(one)
        for event in sorted(self._former, key=_by_time):
            former[designation_of(event)].append(event)
        made = (event for name in sorted(names) for event in self._of_neo(approaches[name], former[name]))
        return sorted(made, key=_by_time)

    def _of_neo(self, approaches: list[Approach], former: list[Event]) -> Iterable[Event]:
        """The events of one NEO, from its approaches and its former events."""
        withdrawn = {event.uid: event for event in former}
        for approach, event in _matched(approaches, former):
            if self._window.shows(approach):
                if event:
                    del withdrawn[event.uid]
                yield self._revised(event, approach) if event else self._new(approach)
        for event in withdrawn.values():
            if start_of(event) >= self._window.first:
                yield event if is_cancelled(event) or is_unknown(event, self._data) else self._cancelled(event)

    def _new(self, approach: Approach) -> Event:
        self.counted["new"] += 1
        return self._event(approach, self._new_uid(approach), 0, approach.fetched_at)

    def _revised(self, former: Event, approach: Approach) -> Event:
        same = self._event(approach, former.uid, former.sequence, former.last_modified)
        if same.to_ical() == former.to_ical():
            return former
        self.counted["revised"] += 1
        changed_at = max(former.last_modified, approach.fetched_at)
        return self._event(approach, former.uid, former.sequence + 1, changed_at)

    def _cancelled(self, former: Event) -> Event:
        self.counted["cancelled"] += 1
        changed_at = self._data.stamps.get(designation_of(former), self._data.fetched[1])
        event = copy.deepcopy(former)
        event.status, event.sequence = STATUS.CANCELLED, former.sequence + 1
        event.stamp = event.last_modified = max(former.last_modified, changed_at.replace(microsecond=0))
        event.description = f"Withdrawn: no longer among the approaches that this calendar shows.\n{event.description}"
        return event

    def _new_uid(self, approach: Approach) -> str:
        """A UID for a new event: from the NEO, the body and the date that the approach has now; it keeps it.

        An approach that moved to another date may have left its UID behind; then the new one has a number too.
        """
        uid, number = _uid(approach), 1
        while uid in self._uids:
            number += 1
            uid = _uid(approach, f"-{number}")
        self._uids.add(uid)
        return uid

    def _event(self, approach: Approach, uid: str, sequence: int, changed_at: datetime) -> Event:
        """An approach as an event. It lasts no time, and leaves the day free in people's calendars."""
        changed_at = changed_at.replace(microsecond=0)
        simulated = "Simulated: " if self._data.is_simulated else ""
        return Event.new(
            uid=uid,
            sequence=sequence,
            stamp=changed_at,
            last_modified=changed_at,
            start=approach.close_approach_at,
            summary=f"{simulated}{approach.name} passes Earth at {approach.lunar_distances} LD (predicted)",
            description=_described(approach, self._data.is_simulated),
            status=STATUS.CONFIRMED,
            transparency=TRANSP.TRANSPARENT,
            url=printable(approach.nasa_jpl_url) if approach.nasa_jpl_url else None,
        )


def _matched(approaches: list[Approach], former: list[Event]) -> Iterable[tuple[Approach, Event | None]]:
    """Each approach of a NEO with its former event, if it has one. Events that were not cancelled come first."""
    rest, found = list(range(len(approaches))), dict[int, Event]()
    for cancelled in (False, True):
        events = [event for event in former if is_cancelled(event) == cancelled]
        times = [approaches[place].close_approach_at for place in rest]
        pairs = paired([start_of(event) for event in events], times)
        found |= {rest[place]: events[one] for one, place in pairs.items()}
        rest = [place for place in rest if place not in found]
    return [(approach, found.get(place)) for place, approach in enumerate(approaches)]


_TDB = " (JPL computes times in TDB, today about 69 s ahead of UTC; NeoWs names no time scale)"


def _described(approach: Approach, simulated: bool) -> str:
    hazardous = {True: "yes", False: "no", None: "not known"}[approach.is_potentially_hazardous]
    h = approach.absolute_magnitude_h
    lines = [
        f"Time: {approach.close_approach_at:%Y-%m-%d %H:%M} UTC" + ("" if simulated else _TDB),
        f"Miss distance: {approach.miss_distance_au:.6f} au, {approach.lunar_distances} LD (lunar distances of "
        f"{KM_PER_LUNAR_DISTANCE:,} km), {approach.miss_distance_km:,.0f} km",
        f"Velocity relative to Earth: {approach.relative_velocity_km_s:.2f} km/s",
        f"Absolute magnitude H: {'not known' if h is None else f'{h:g}'}",
        f"Diameter, estimated from H: {f'{approach.diameter_m} m' if approach.diameter_m else 'not known'}",
        f"Potentially hazardous: {hazardous}",
        f"JPL: {approach.nasa_jpl_url}" if approach.nasa_jpl_url else "",
        "Source: a simulator; this object is made up." if simulated else "Source: NASA's NeoWs, with data of JPL",
    ]
    return "\n".join(filter(None, lines))


def _calendar(events: Sequence[Event], simulated: bool) -> Calendar:
    """The calendar. It names no time at which it was made, so it changes with its events only."""
    calendar = Calendar.new(
        prodid=_PRODUCER,
        uid=f"upcoming@{_OURS}",
        name="Close approaches to Earth" + (" (simulated)" if simulated else ""),
        description=("Simulated: these objects are made up. " if simulated else "")
        + f"Near-Earth objects that pass Earth within {WITHIN_AU} au, today (UTC) and in the next {DAYS} days, as "
        "predicted. Events of approaches that were withdrawn are cancelled.",
        subcomponents=events,
    )
    calendar.add("REFRESH-INTERVAL", timedelta(days=1), {"VALUE": "DURATION"})
    return calendar


def _uid(approach: Approach, number: str = "") -> str:
    day = approach.close_approach_at.date()
    return f"{day}{number}.Earth.{quote_plus(approach.designation, safe='')}@{_OURS}"


def _by_time(event: Event) -> tuple[datetime, str]:
    return start_of(event), event.uid


def _former(lake: Storage) -> list[Event]:
    """The events of the calendar in the lake; none if there is no calendar, or a damaged one, which is set aside."""
    path = layout.product(CALENDAR)
    try:
        data = lake.read(path).to_pybytes()
    except FileNotFoundError:
        return []
    try:
        return read_events(data)
    except ValueError as error:
        kept = layout.damaged_product(CALENDAR, hashlib.sha256(data).hexdigest())
        lake.write(kept, data)
        logger.warning(
            "%s is damaged (%s): it is made anew, its events begin with SEQUENCE 0 again, and the damaged file is kept "
            "as %s",
            *(lake.location(path), error, lake.location(kept)),
        )
        return []


def _store(lake: Storage, name: str, data: bytes, origin: str, rows: int) -> None:
    """Write a file and its entry in the index, unless both are there already."""
    made = index.current(lake, name, origin)
    if not made or made.sha256 != hashlib.sha256(data).hexdigest():
        index.store(lake, name, data, origin, rows)
