"""Incidents: what is wrong, since when, and to which channels it was reported. They are kept in one file of the lake,
so they survive a restart and a pruned Dagster storage. Reporting them is in `alerts`; what Dagster knows, and where its
UI shows something, comes from `orchestration.alerts`.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.heartbeat import last_at, last_conclusive
from neo_assets.pipeline.quarantine import given_up, without
from neo_assets.pipeline.staleness import is_too_old, oldest_page, too_old_after
from neo_assets.pipeline.text import first_few, one_line, quantity
from neo_assets.schema.heartbeat import OK
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.schema.page_sets import LANDED, pages_of, with_landed
from neo_assets.schema.tables import NEO_RECORDS, QUARANTINE, RAW_PAGE_INDEX
from neo_assets.settings import Settings

logger = logging.getLogger(__name__)

_LONGEST_REASON = 500

REPORTED, REPORTED_OVER = 1, 2
"""What was reported of an incident: that it began; that it is over."""


class Kind(StrEnum):
    """What can be wrong. What one tick finds of a kind is reported in one message."""

    RUN = "run failed"
    CHECK = "check failed"
    STALE = "data stale"
    QUARANTINE = "quarantine grew"
    NEOWS = "NeoWs out of order"


_OLDEST_PAGE, _LAST_HEARTBEAT = "the oldest page", "the last heartbeat"

_SILENCE = timedelta(days=1)
"""After this long without a heartbeat, nothing is known of NeoWs. Runs that wait for requests may delay heartbeats."""


@dataclass(frozen=True)
class Incident:
    """Something that is wrong, or was."""

    kind: Kind
    what: str
    """What it is about, for people. There is at most one open incident for each kind and `what`."""
    reason: str
    began_at: datetime
    asset: str | None = None
    page_set: str | None = None
    check: str | None = None
    """The asset check that shows it, by its name."""
    where: str = ""
    """Where people can see it: a URL, or the way there in words."""
    size: int = 0
    """How much of it there is, if it can grow. What has grown is reported again."""
    over_at: datetime | None = None
    over_because: str = ""
    """Why it is over, if not because all is well again."""
    reported: dict[str, int] = field(default_factory=dict)
    """What was reported of it to each channel, by the channel's name: `REPORTED` or `REPORTED_OVER`."""


@dataclass(frozen=True)
class Over:
    """News that an incident, if there is one, is over."""

    kind: Kind
    what: str
    at: datetime
    assets: frozenset[str] | None = None
    """The assets that were made; an incident of another asset is not over. None: whatever its asset is."""
    because: str = ""
    """Why, if not because all is well again."""


@dataclass(frozen=True)
class Failing:
    """A channel that does not take messages."""

    since: datetime
    error: str


@dataclass(frozen=True)
class State:
    """All incidents that are open or not yet reported to all channels, in the order in which they began."""

    incidents: tuple[Incident, ...] = ()
    failing: dict[str, Failing] = field(default_factory=dict)
    """The channels that fail, by name."""

    @property
    def open(self) -> list[Incident]:
        """The incidents that are not over."""
        return [one for one in self.incidents if not one.over_at]

    @property
    def failures(self) -> list[str]:
        """The channels that fail, for people: a line for each."""
        return [
            f"{name} has failed since {one.since:%Y-%m-%d %H:%M} UTC: {one.error}" for name, one in self.failing.items()
        ]


def read(lake: Storage) -> State:
    """The incidents kept in the lake. A damaged file counts as none: what is still wrong is then reported again.

    Raises:
        LakeError: the lake cannot be read.
    """
    try:
        return msgspec.json.decode(lake.read(layout.INCIDENTS), type=State)
    except FileNotFoundError:
        return State()
    except msgspec.MsgspecError as error:
        logger.warning("%s is damaged (%s): it is begun anew", lake.location(layout.INCIDENTS), error)
        return State()


def write(lake: Storage, state: State) -> None:
    """Keep the incidents in the lake.

    Raises:
        LakeError: the lake cannot be written.
    """
    lake.write(layout.INCIDENTS, msgspec.json.format(msgspec.json.encode(state)))


def after(before: Sequence[Incident], news: Sequence[Incident | Over]) -> tuple[Incident, ...]:
    """The incidents after some news, given in the order in which it happened."""
    found = list(before)
    for one in news:
        at = next((i for i, old in enumerate(found) if _is_about(one, old)), None)
        if isinstance(one, Over):
            if at is not None and _ends(one, found[at]):
                found[at] = replace(found[at], over_at=one.at, over_because=one.because)
        elif at is None:
            found.append(one)
        elif one.size > found[at].size:
            found[at] = replace(one, began_at=found[at].began_at)
        elif one.size < found[at].size:  # not reported, but growing from here is
            found[at] = replace(found[at], size=one.size, reason=one.reason)
    return tuple(found)


def _ends(news: Over, incident: Incident) -> bool:
    """Whether news that something is well is new, and of the asset that was not."""
    is_of_asset = news.assets is None or incident.asset in (None, *news.assets)
    return is_of_asset and news.at >= incident.began_at


def _is_about(news: Incident | Over, incident: Incident) -> bool:
    return not incident.over_at and (incident.kind, incident.what) == (news.kind, news.what)


def changes(
    state: State,
    standing: Sequence[Incident | Over],
    settings: Settings,
    checks: Collection[tuple[str, str]] | None = None,
) -> list[Incident | Over]:
    """News from what the lake shows now: what began, and what is over. Incidents of page sets that the settings no
    longer ask for, and of checks that no longer exist, are over too.

    Args:
        state: the incidents before.
        standing: what is wrong now, as `standing` finds it.
        settings: the settings.
        checks: the checks that exist, as asset and name; None if that is not known.
    """
    still = {(one.kind, one.what) for one in standing}
    requested = {None, *with_landed(settings.page_sets)}

    def ends(one: Incident) -> str | None:
        """Why an incident is over; None if it is not."""
        if one.page_set not in requested:
            return "the page set is no longer requested"
        if one.kind is Kind.CHECK and checks is not None and (one.asset, one.check) not in checks:
            return "the check no longer exists"
        return "" if _is_standing(one) and (one.kind, one.what) not in still else None

    now, reasons = datetime.now(UTC), [(one, ends(one)) for one in state.open]
    return [*standing, *(Over(one.kind, one.what, now, because=why) for one, why in reasons if why is not None)]


def _is_standing(incident: Incident) -> bool:
    """Whether the lake shows at any time if it is over. Else it is over when an event in Dagster says so."""
    return incident.kind in (Kind.QUARANTINE, Kind.NEOWS) or incident.what == _OLDEST_PAGE


def standing(lake: Storage, settings: Settings) -> list[Incident | Over]:
    """What is wrong now, as the lake shows: pages too old, records in quarantine, NeoWs out of order; and what can no
    longer be known, as over.

    Raises:
        LakeError: the lake cannot be read.
    """
    return [*_stale(lake, settings), *_quarantined(lake, settings), *_neows(lake)]


def in_short(reason: str) -> str:
    """A reason in one line, cut to a length that suits a message."""
    line = one_line(reason)
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 3] + "..."


def _stale(lake: Storage, settings: Settings) -> list[Incident]:
    page_sets = tables.stored_page_sets(lake, RAW_PAGE_INDEX, settings.page_sets)
    oldest = oldest_page(lake, page_sets)
    if oldest is None or not is_too_old(oldest, settings.raw_max_age_hours):
        return []
    limit = too_old_after(settings.raw_max_age_hours)
    page_set = next((key for key in page_sets if oldest.page in pages_of(key)), None)
    return [
        Incident(
            Kind.STALE,
            _OLDEST_PAGE,
            f"page {oldest.page} was fetched {oldest.arrived_at:%Y-%m-%d %H:%M} UTC; pages are too old after "
            f"{limit / timedelta(hours=1):g} hours",
            datetime.now(UTC),
            "raw_pages",
            page_set,
        )
    ]


def _quarantined(lake: Storage, settings: Settings) -> list[Incident]:
    page_sets = tables.stored_page_sets(lake, QUARANTINE, with_landed(settings.page_sets))
    stored = tables.read_found(lake, QUARANTINE, page_sets)
    discarded = given_up(lake) if any(rows.num_rows for rows in stored.values()) else set[str]()
    found = []
    for page_set, rows in stored.items():
        reasons = without(discarded, rows)["reason"].to_pylist()
        if reasons:
            asset = "landed_objects" if page_set == LANDED else NEO_RECORDS.name
            found.append(
                Incident(
                    Kind.QUARANTINE,
                    "landed objects" if page_set == LANDED else f"page set {page_set}",
                    in_short(f"{quantity(len(reasons), 'record')}: {first_few(sorted(set(reasons)), 3)}"),
                    datetime.now(UTC),
                    asset,
                    page_set,
                    "nothing_is_in_quarantine",
                    size=len(reasons),
                )
            )
    return found


def _neows(lake: Storage) -> list[Incident | Over]:
    beat = last_conclusive(lake)
    if beat is None or beat.status == OK:
        return []
    latest, now = last_at(lake) or beat.at, datetime.now(UTC)
    if latest < now - _SILENCE:
        return [Over(Kind.NEOWS, _LAST_HEARTBEAT, now, because=f"no heartbeat since {latest:%Y-%m-%d %H:%M} UTC")]
    reason = in_short(f"{beat.status}: {beat.detail}")
    return [Incident(Kind.NEOWS, _LAST_HEARTBEAT, reason, beat.at, HEARTBEAT.name, check="neows_is_in_order")]
