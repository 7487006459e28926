"""The bounds: how far the figures of a snapshot may differ from those of the accepted one. Which snapshot that is lives
in `accepted`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

EARTH = "Earth"

Pair = tuple[Fraction, Fraction]
"""A figure of the accepted snapshot, and the same figure now."""


@dataclass(frozen=True)
class Figures:
    """What a snapshot of Browse pages amounts to, each NEO counted once. Landed objects are not part of it."""

    source: str
    """`nasa` or `simulator`."""
    pages: int
    """Number of pages asked for, from page 0. Only snapshots of the same pages are compared."""
    page_sets: int
    """Number of page sets that were there."""
    neos: int
    near_misses: Mapping[str, int]
    """Near misses per orbiting body."""
    approaches: int
    rows: int
    """Rows of `neo_records`."""
    nulls: Mapping[str, int]
    """Number of these rows in which a column is null, by column."""
    oldest: datetime | None
    """When the first of the pages was fetched; None if there are no NEOs."""
    newest: datetime | None
    """When the last of the pages was fetched; None if there are no NEOs."""


@dataclass(frozen=True)
class Bound:
    """How far some figures may be from those accepted."""

    name: str
    """Also the name of its asset check."""
    description: str
    limit: Fraction
    """The largest difference allowed: a share of the accepted figure, or points if the figures are shares."""
    compared: Callable[[Figures, Figures], dict[str, Pair]]
    """The figures to compare, by name, of the accepted snapshot and of the one judged."""
    direction: Literal["less", "more", "either"]
    """Which differences matter."""
    of_shares: bool = False
    """Whether the figures are shares, so that the difference is in points."""
    is_error: bool = False
    """Whether a difference beyond the limit is an error, not a warning."""

    def beyond(self, accepted: Figures, now: Figures) -> dict[str, str]:
        """The figures that differ by more than the limit, each with how it differs; empty if none does."""
        return {
            name: self._described(*pair)
            for name, pair in self.compared(accepted, now).items()
            if self._difference(*pair) > self.limit
        }

    @property
    def allowed(self) -> str:
        """The limit, for people."""
        number = 100 * self.limit
        unit = "%" if not self.of_shares else "point" if number == 1 else "points"
        return f"{float(number):g} {unit}"

    def _difference(self, was: Fraction, now: Fraction) -> Fraction:
        change = now - was
        if not self.of_shares and change:
            change = change / was if was else Fraction(1)
        return {"less": -change, "more": change, "either": abs(change)}[self.direction]

    def _described(self, was: Fraction, now: Fraction) -> str:
        return f"{float(now):.2%} instead of {float(was):.2%}" if self.of_shares else f"{now} instead of {was}"


def _neos(accepted: Figures, now: Figures) -> dict[str, Pair]:
    return {"NEOs": (Fraction(accepted.neos), Fraction(now.neos))}


def _near_misses_to_earth(accepted: Figures, now: Figures) -> dict[str, Pair]:
    was, is_now = (Fraction(figures.near_misses.get(EARTH, 0)) for figures in (accepted, now))
    return {"near misses to Earth": (was, is_now)}


def _shares(accepted: Figures, now: Figures) -> dict[str, Pair]:
    """The share of each orbiting body; nothing to compare where there were no near misses."""
    if not any(accepted.near_misses.values()):
        return {}
    bodies = sorted(accepted.near_misses.keys() | now.near_misses.keys())
    return {body: (_share(accepted.near_misses, body), _share(now.near_misses, body)) for body in bodies}


def _share(near_misses: Mapping[str, int], body: str) -> Fraction:
    return Fraction(near_misses.get(body, 0), sum(near_misses.values()) or 1)


def _nulls(accepted: Figures, now: Figures) -> dict[str, Pair]:
    """The null rate of each column that both have: a later version may have added one."""
    if not accepted.rows or not now.rows:
        return {}
    return {
        column: (Fraction(accepted.nulls[column], accepted.rows), Fraction(number, now.rows))
        for column, number in now.nulls.items()
        if column in accepted.nulls
    }


BOUNDS = {
    bound.name: bound
    for bound in (
        Bound(
            "neos_are_not_lost",
            "There are at most 0.5 % fewer NEOs than in the accepted snapshot.",
            Fraction(5, 1000),
            _neos,
            "less",
            is_error=True,
        ),
        Bound(
            "near_misses_to_earth_are_steady",
            "The near misses to Earth are within 1 % of those of the accepted snapshot.",
            Fraction(1, 100),
            _near_misses_to_earth,
            "either",
        ),
        Bound(
            "shares_of_bodies_are_steady",
            "Each orbiting body's share of the near misses is within 1 point of that in the accepted snapshot.",
            Fraction(1, 100),
            _shares,
            "either",
            of_shares=True,
        ),
        Bound(
            "nulls_are_not_more",
            "No column of neo_records is null more often than in the accepted snapshot, by more than 5 points.",
            Fraction(5, 100),
            _nulls,
            "more",
            of_shares=True,
            is_error=True,
        ),
    )
}
"""Every bound by name. A file of the lake names those that were accepted, so a name stays."""
