"""Accepted snapshots: what a snapshot is compared with, and who accepted it. How far it may differ is in `bounds`.

Each acceptance is a file of its own, so none is lost, even if two processes accept at once. For each bound, the last
one that names it counts: a person accepts single bounds, a snapshot that has passed all checks is accepted for all.
That happens only once every page was fetched later than those accepted before. Otherwise a fault that arrives page set
by page set would be accepted in steps, each within the bounds.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import layout, tables
from neo_assets.lake.owner import source_of
from neo_assets.lake.storage import LakeDamaged, Storage
from neo_assets.pipeline.audit import account
from neo_assets.pipeline.bounds import BOUNDS, Bound, Figures
from neo_assets.pipeline.catalogue import superseded
from neo_assets.pipeline.count import covered, total_over
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.tables import NEO_RECORDS, NEO_SIGHTINGS


@dataclass(frozen=True)
class Accepted:
    """A snapshot that was accepted: for which bounds, when, by whom and why."""

    bounds: Sequence[str]
    at: datetime
    who: str
    why: str
    figures: Figures


@dataclass(frozen=True)
class Standing:
    """A bound, the snapshot accepted for it (None if there is none of the same pages), and the figures now."""

    bound: Bound
    accepted: Accepted | None
    now: Figures

    @property
    def beyond(self) -> dict[str, str]:
        """The figures that are out of bounds, each with how it differs."""
        return self.bound.beyond(self.accepted.figures, self.now) if self.accepted else {}


def standings(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> list[Standing]:
    """How the snapshot in the lake stands with each bound.

    Raises:
        LakeError: a table or an accepted snapshot cannot be read.
    """
    now = figures_of(lake, metrics, page_sets)
    accepted = _accepted(lake, now.pages)
    return [Standing(bound, accepted.get(name), now) for name, bound in BOUNDS.items()]


def figures_of(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Figures:
    """The figures of the totals over these page sets, without the landed objects, which come and go.

    Raises:
        LakeError: a table cannot be read.
    """
    keys = tables.stored_page_sets(lake, NEO_SIGHTINGS, page_sets)
    near, yearly = (
        _without_landed(lake, metrics, total, page_sets) for total in (TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES)
    )
    sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, keys)
    rows, nulls = tables.null_counts(lake, NEO_RECORDS, keys)
    fetched = pc.min_max(sightings["fetched_at"])
    return Figures(
        source=source_of(lake) or "unknown",
        pages=sum(len(pages_of(key)) for key in page_sets),
        page_sets=len(keys),
        neos=pc.sum(sightings["is_counted"], min_count=0).as_py() - superseded(metrics, sightings).num_rows,
        near_misses=dict(zip(near["orbiting_body"].to_pylist(), near["near_misses"].to_pylist(), strict=True)),
        approaches=pc.sum(yearly["approaches"], min_count=0).as_py(),
        rows=rows,
        nulls=nulls,
        oldest=fetched["min"].as_py(),
        newest=fetched["max"].as_py(),
    )


def accept(lake: Storage, accepted: Iterable[Standing], why: str) -> None:
    """Accept the figures of these bounds: from now on, later snapshots are compared with them.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    standing = list(accepted)
    before = [one.accepted.at + timedelta(microseconds=1) for one in standing if one.accepted]
    at = max([datetime.now(UTC), *before])  # the clock may have been set back
    record = Accepted([one.bound.name for one in standing], at, account(), why, standing[0].now)
    content = json.dumps(asdict(record), default=datetime.isoformat).encode()
    path = layout.accepted(record.figures.pages, at, hashlib.sha256(content).hexdigest())
    lake.write(path, content)


def accept_by_itself(lake: Storage, standing: Sequence[Standing]) -> bool:
    """Accept a snapshot that has passed all checks, if every page was fetched after those of the one accepted before.

    Returns:
        Whether it was accepted.

    Raises:
        LakeError: the lake cannot be written.
    """
    oldest = standing[0].now.oldest
    newest = [one.accepted.figures.newest for one in standing if one.accepted and one.accepted.figures.newest]
    if not oldest or any(oldest <= time for time in newest):
        return False
    accept(lake, standing, "all checks passed" if newest else "all checks passed; the first snapshot of these pages")
    return True


def _without_landed(lake: Storage, metrics: Metrics, total: Table, page_sets: Sequence[str]) -> pa.Table:
    """A stored total, or, if landed objects are in it, the same total computed without them."""
    metric = metrics.of_table[total.name]
    keys = covered(lake, metric, page_sets)
    if LANDED not in keys:
        return tables.read_table(lake, total)
    return total_over(metrics, lake, metric, [key for key in keys if key != LANDED])


def _accepted(lake: Storage, pages: int) -> dict[str, Accepted]:
    """The last accepted snapshot of these pages for each bound."""
    found: dict[str, Accepted] = {}
    for info in reversed(lake.files(layout.accepted_directory(pages))):
        record = _read(lake, info.path)
        found = dict.fromkeys(record.bounds, record) | found
        if found.keys() >= BOUNDS.keys():
            break
    return found


def _read(lake: Storage, path: str) -> Accepted:
    try:
        content: dict[str, Any] = json.loads(lake.read(path).to_pybytes())
        figures: dict[str, Any] = content.pop("figures")
        times = {name: figures[name] and datetime.fromisoformat(figures[name]) for name in ("oldest", "newest")}
        at = datetime.fromisoformat(content["at"])
        return Accepted(**content | {"at": at, "figures": Figures(**figures | times)})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LakeDamaged(
            f"{lake.location(path)} is damaged ({error}): delete it; the snapshot accepted before it then counts"
        ) from None
