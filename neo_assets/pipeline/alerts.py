"""Alerts: reports to each channel once that an incident has begun, and once that it is over. What an incident is, is
defined in `incidents`; how a message is delivered, in `channels`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from neo_assets.lake import layout
from neo_assets.lake.lease import leased
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.channels import Channel, Message, PartlyDelivered, Undelivered
from neo_assets.pipeline.incidents import (
    REPORTED,
    REPORTED_OVER,
    Failing,
    Incident,
    Kind,
    Over,
    State,
    after,
    read,
    write,
)
from neo_assets.pipeline.text import quantity

logger = logging.getLogger(__name__)

_NAMED = 5
"""How many incidents a message names if it is about many."""

_LEASE = timedelta(minutes=2)
"""How long others wait for a process that is killed while it sends an alert: longer than a channel takes for one."""

_KEPT = timedelta(weeks=1)
"""How long an incident that is over waits for channels that do not take messages."""

_WAYS_OUT = {
    Kind.RUN: "mend the cause and run `neo run`, or launch the run again; `neo audit --failed` shows the last ones",
    Kind.CHECK: "docs/checks.md says what the check means; `neo recompute` makes the tables again from the stored "
    "pages, `NEO_RAW_MAX_AGE_HOURS=0 neo run` fetches every page again",
    Kind.STALE: "run `neo run`, or switch on the schedule daily_refresh",
    Kind.QUARANTINE: "`neo quarantine list` shows the records; after a fix, `neo quarantine replay` reads them again, "
    "`neo quarantine discard` gives them up",
    Kind.NEOWS: "if it was refused, check NASA_API_KEYS and NEOWS_BASE_URL; else wait: the next heartbeat that is "
    "answered ends this, and the next `neo run` or daily_refresh fetches what failed",
}


def report(
    lake: Storage, channels: Sequence[Channel], news: Sequence[Incident | Over], only_open: bool = False
) -> State:
    """Take in news, and report to each channel what was not reported to it yet. What a channel does not take is kept
    for the next call.

    Args:
        lake: the lake that keeps the incidents.
        channels: the channels.
        news: what began or ended, in the order in which it happened.
        only_open: leave out what began and ended within the news.

    Returns:
        The incidents afterwards.

    Raises:
        Busy: another process does the same at the moment, or has taken over; the news must be given again.
        LakeError: the lake cannot be used.
    """

    def taken_in(before: State) -> State:
        found = after(before.incidents, news)
        fresh = found[len(before.incidents) :]
        return replace(
            before, incidents=tuple(one for one in found if not (only_open and one.over_at and one in fresh))
        )

    state = read(lake)
    names = [channel.name for channel in channels]
    if taken_in(state) == state == _without_done(state, names) and not _waiting(state, names):
        return state
    with leased(lake, layout.ALERTS_LEASES, _LEASE) as renew:
        state = taken_in(read(lake))
        write(lake, state)  # before it is reported: a killed process then reports it twice rather than never
        for channel in channels:
            state = _deliver(lake, channel, state, renew)
        state = _without_old(_without_done(state, names))
        renew()
        write(lake, state)
    return state


def report_lake(lake: Storage, channels: Sequence[Channel], error: LakeError | None) -> None:
    """Report to each channel that the lake, which keeps the incidents, cannot be used; or, without an error, that it
    can again. What a channel does not take is not kept.
    """
    title = "The lake cannot be used" if error else "Over: the lake cannot be used"
    why = f"\nWhy: {error}\nUntil it can, no other alerts are sent." if error else ""
    message = Message(f"neo_assets: {title}", f"{title}{why}\n{_of(lake)}", good=not error)
    for channel in channels:
        try:
            channel.send(message)
        except Undelivered as undelivered:
            logger.warning("an alert was lost: %s: %s", channel.name, undelivered)


def _deliver(lake: Storage, channel: Channel, state: State, renew: Callable[[], object]) -> State:
    """Send a channel the messages that it lacks, until one fails."""
    for level in (REPORTED, REPORTED_OVER):
        for kind in Kind:
            group = [one for one in _lacking(state, channel.name, level) if one.kind == kind]
            if not group:
                continue
            renew()
            try:
                channel.send(_began(kind, group, lake) if level == REPORTED else _ended(kind, group, lake))
            except PartlyDelivered as error:
                logger.warning("an alert did not reach all: %s: %s", channel.name, error)
            except Undelivered as error:
                known = state.failing.get(channel.name)
                if not known:
                    logger.warning("alerts wait, and are tried again at each tick: %s: %s", channel.name, error)
                since = known.since if known else datetime.now(UTC)
                return replace(state, failing=state.failing | {channel.name: Failing(since, str(error))})
            reported = tuple(
                replace(one, reported=one.reported | {channel.name: level}) if one in group else one
                for one in state.incidents
            )
            failing = {name: failing for name, failing in state.failing.items() if name != channel.name}
            state = State(reported, failing)
            renew()  # a process that was suspended must not undo what the one that took over has kept
            write(lake, state)
    return state


def _lacking(state: State, channel: str, level: int) -> list[Incident]:
    """The incidents of which this is to be reported to a channel next."""
    return [
        one
        for one in state.incidents
        if one.reported.get(channel, 0) == level - 1 and (level == REPORTED or one.over_at)
    ]


def _waiting(state: State, channels: Sequence[str]) -> bool:
    return any(_lacking(state, channel, level) for channel in channels for level in (REPORTED, REPORTED_OVER))


def _without_done(state: State, channels: Sequence[str]) -> State:
    """Without incidents whose end was reported to every channel, and channels that are not in use any more."""
    return State(
        tuple(
            one
            for one in state.incidents
            if not one.over_at or any(one.reported.get(channel, 0) < REPORTED_OVER for channel in channels)
        ),
        {name: failing for name, failing in state.failing.items() if name in channels},
    )


def _without_old(state: State) -> State:
    """Without incidents that were over for so long that they no longer wait for channels that fail."""
    since = datetime.now(UTC) - _KEPT
    kept = tuple(one for one in state.incidents if not one.over_at or one.over_at >= since)
    if dropped := len(state.incidents) - len(kept):
        how_many, where = quantity(dropped, "incident"), ", ".join(state.failing)
        logger.warning("%s dropped, over for a week and not reported to: %s", how_many, where)
    return replace(state, incidents=kept)


def _began(kind: Kind, group: Sequence[Incident], lake: Storage) -> Message:
    title = _titled(kind, group)
    if len(group) == 1:
        [one] = group
        lines = {
            "Asset": one.asset,
            "Page set": one.page_set,
            "Why": one.reason,
            "Since": f"{one.began_at:%Y-%m-%d %H:%M} UTC",
            "See": one.where,
        }
        said = [f"{name}: {value}" for name, value in lines.items() if value]
    else:
        said = _listed(group, [f"- {one.what}: {one.reason} ({one.where})" for one in group])
    return Message(f"neo_assets: {title}", "\n".join([title, *said, f"Way out: {_WAYS_OUT[kind]}", _of(lake)]))


def _ended(kind: Kind, group: Sequence[Incident], lake: Storage) -> Message:
    title = f"Over: {_titled(kind, group)}"
    lines = [
        f"- {one.what}: from {one.began_at:%Y-%m-%d %H:%M} to {one.over_at:%Y-%m-%d %H:%M} UTC"
        + (f": {one.over_because}" if one.over_because else "")
        for one in group
    ]
    return Message(f"neo_assets: {title}", "\n".join([title, *_listed(group, lines), _of(lake)]), good=True)


def _titled(kind: Kind, group: Sequence[Incident]) -> str:
    first = kind[0].upper() + kind[1:]
    return f"{first}: {group[0].what}" if len(group) == 1 else f"{first}: {quantity(len(group), 'incident')}"


def _listed(group: Sequence[Incident], lines: Sequence[str]) -> list[str]:
    """The first few lines, and how many there are more."""
    more = len(group) - _NAMED
    return [*lines[:_NAMED], *([f"and {more:,} more: see `neo alert list`, or `neo audit`"] if more > 0 else [])]


def _of(lake: Storage) -> str:
    return f"Lake: {lake.root}"
