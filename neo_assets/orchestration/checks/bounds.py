"""The checks of the snapshot against the one accepted before, one for each bound. The bounds themselves, and what is
accepted when, live in `pipeline`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import dagster as dg

from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.pipeline.accepted import Standing
from neo_assets.pipeline.bounds import BOUNDS, Bound
from neo_assets.schema.tables import SNAPSHOT


class Judged(Protocol):
    """What these checks need to know of the lake."""

    @property
    def standings(self) -> Sequence[Standing]:
        """How the snapshot stands with each bound."""


def _check(bound: Bound) -> Check:
    severity = dg.AssetCheckSeverity.ERROR if bound.is_error else dg.AssetCheckSeverity.WARN
    return Check(SNAPSHOT.name, _judge(bound), severity)


def _judge(bound: Bound) -> Callable[[Judged, str], Verdict]:
    def judge(stored: Judged, snapshot: str) -> Verdict:
        [standing] = [one for one in stored.standings if one.bound is bound]
        if not standing.accepted:
            return True, {"not compared": f"no snapshot of {standing.now.pages} pages is accepted yet"}
        accepted = {"allowed": bound.allowed, "accepted": f"{standing.accepted.at:%Y-%m-%d %H:%M} UTC"}
        beyond = standing.beyond
        return not beyond, beyond | accepted | ({"way out": "`neo accept` explains it"} if beyond else {})

    judge.__name__, judge.__doc__ = bound.name, bound.description
    return judge


OF_BOUNDS = tuple(_check(bound) for bound in BOUNDS.values())
