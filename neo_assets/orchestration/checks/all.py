"""Asset checks: what proves the stored data of a page set, and of the totals. How the data is made stands in `assets`.

Each check reads what lies in the lake and counts in its own way, with pyarrow where the graph counts with SQL. The
checks of a page set run in one step, as a step costs more than all of them together.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.gold import total_origin
from neo_assets.orchestration.failures import told_to_dagster
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    KM_PER_AU,
    NEAR_MISS_AU,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    NEOS_PER_PAGE,
    QUARANTINE,
    RAW_PAGE_INDEX,
    SNAPSHOT,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    YEARLY_APPROACHES,
    YEARS,
    Table,
)

_ROUNDING = 1e-6  # km and au of pages before 2018 are rounded each on its own

Read = Callable[[Table], pa.Table]
"""Gives a stored table."""

_Counts = Counter[tuple[Any, ...]]

Verdict = tuple[bool, dict[str, Any]]
"""Whether a check passed, and the figures that say why."""


@dataclass(frozen=True)
class _Check:
    asset: str
    judge: Callable[..., Verdict]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR

    @property
    def key(self) -> dg.AssetCheckKey:
        return dg.AssetCheckKey(dg.AssetKey(self.asset), self.judge.__name__)

    def spec(self, partitions_def: dg.PartitionsDefinition | None = None) -> dg.AssetCheckSpec:
        with (
            warnings.catch_warnings()
        ):  # Dagster calls checks per partition a preview; no other way gives a status each
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.AssetCheckSpec(
                self.judge.__name__, asset=self.asset, description=self.judge.__doc__, partitions_def=partitions_def
            )

    def result(self, verdict: Verdict) -> dg.AssetCheckResult:
        passed, metadata = verdict
        return dg.AssetCheckResult(
            asset_key=self.asset,
            check_name=self.judge.__name__,
            passed=passed,
            severity=self.severity,
            metadata=metadata,
        )


def asset_checks(page_sets: dg.StaticPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """The checks of a page set, and those of the totals."""

    @dg.multi_asset_check(specs=[check.spec(page_sets) for check in _OF_A_PAGE_SET], can_subset=True)
    def page_set_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        # Dagster keeps no status per page set in a run of several; there a check speaks for them all.
        reads = {key: cache(partial(tables.read_table, lake, page_set=key)) for key in context.partition_keys}
        with told_to_dagster():
            for check in _OF_A_PAGE_SET:
                if check.key in context.selected_asset_check_keys:
                    verdicts = [check.judge(read, key) for key, read in reads.items()]
                    yield check.result(min(verdicts, key=lambda verdict: verdict[0]))

    @dg.multi_asset_check(specs=[check.spec() for check in _OF_TOTALS], can_subset=True)
    def total_checks(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        stored = _Stored(lake, page_sets.get_partition_keys())
        with told_to_dagster():
            for check in _OF_TOTALS:
                if check.key in context.selected_asset_check_keys:
                    yield check.result(check.judge(stored, check.asset))

    return [page_set_checks, total_checks]


def every_page_is_whole(read: Read, page_set: str) -> Verdict:
    """Every page of the set is there, with as many NEOs as its place in the catalogue gives it."""
    index = read(RAW_PAGE_INDEX).to_pylist()
    short = [
        row["page"]
        for row in index
        if row["neos"] != min(max(row["total_elements"] - NEOS_PER_PAGE * row["page"], 0), NEOS_PER_PAGE)
    ]
    missing = sorted(set(pages_of(page_set)) - {row["page"] for row in index})
    return not short and not missing, {"pages with fewer or more NEOs": str(short), "pages missing": str(missing)}


def catalogue_stood_still(read: Read, page_set: str) -> Verdict:
    """All pages of the set were taken from a catalogue of one size."""
    sizes = sorted(set(read(RAW_PAGE_INDEX)["total_elements"].to_pylist()))
    return len(sizes) == 1, {"NEOs in the catalogue": str(sizes)}


def every_neo_is_read_once(read: Read, page_set: str) -> Verdict:
    """No NEO stands twice, and those that are not there are in quarantine or copies of others."""
    ids = read(NEO_RECORDS)["id"]
    on_pages = pc.sum(read(RAW_PAGE_INDEX)["neos"], min_count=0).as_py()
    quarantined = read(QUARANTINE).num_rows
    sightings = read(NEO_SIGHTINGS)
    counted = sightings.filter(sightings["is_counted"])["neo_id"]
    older = sightings.num_rows - len(counted)
    all_there = on_pages == len(ids) + older + quarantined and ids.to_pylist() == counted.to_pylist()
    return all_there and pc.count_distinct(ids).as_py() == len(ids), {
        "NEOs on the pages": on_pages,
        "NEOs read": len(ids),
        "older copies left out": older,
        "in quarantine": quarantined,
    }


def nothing_is_in_quarantine(read: Read, page_set: str) -> Verdict:
    """Every record of the set could be read."""
    reasons = read(QUARANTINE)["reason"].to_pylist()
    return not reasons, {"records in quarantine": len(reasons), "reasons": str(sorted(set(reasons))[:10])}


def approaches_are_possible(read: Read, page_set: str) -> Verdict:
    """Distances and velocities are positive, km and au agree, dates are NeoWs's, and each approach has its NEO."""
    rows = read(CLOSE_APPROACHES)
    years = pc.year(rows["close_approach_date"])
    off = pc.abs(pc.subtract(rows["miss_distance_km"], pc.multiply(rows["miss_distance_au"], float(KM_PER_AU))))
    wrong = {
        "distance or velocity that cannot be": pc.or_(
            pc.less(rows["miss_distance_au"], 0.0), pc.less_equal(rows["relative_velocity_km_s"], 0.0)
        ),
        "km and au differ": pc.greater(off, pc.multiply(rows["miss_distance_km"], _ROUNDING)),
        "outside the years": pc.or_(pc.less(years, YEARS[0]), pc.greater(years, YEARS[1])),
        "date and time differ": pc.not_equal(
            rows["close_approach_date"], pc.cast(rows["close_approach_at"], pa.date32())
        ),
        "of an unknown NEO": pc.invert(pc.is_in(rows["neo_id"], read(NEO_SIGHTINGS)["neo_id"].combine_chunks())),
    }
    counts = {name: pc.sum(rows, min_count=0).as_py() for name, rows in wrong.items()}
    return not any(counts.values()), counts


def near_misses_add_up(read: Read, page_set: str) -> Verdict:
    """The count per orbiting body is the one that the stored approaches give."""
    return _add_up(NEAR_MISS_COUNT, read)


def years_add_up(read: Read, page_set: str) -> Verdict:
    """The count per year and orbiting body is the one that the stored approaches give, each standing once."""
    return _add_up(YEARLY_APPROACHES, read)


def _add_up(table: Table, read: Read) -> Verdict:
    rows = read(table)
    stored, again = _counts(rows), _counts(_count_again(table, read(CLOSE_APPROACHES)))
    return stored == again and len(stored) == rows.num_rows, {"stored": stored.total(), "counted again": again.total()}


class _Stored:
    """What the checks of the totals read of the lake; what several of them need is read once."""

    def __init__(self, lake: Storage, page_sets: Sequence[str]) -> None:
        self.lake, self.page_sets = lake, page_sets
        self._left_out: dict[tuple[str, ...], dict[str, _Counts]] = {}

    def read(self, table: Table) -> pa.Table:
        return tables.read_table(self.lake, table)

    def counted(self, part: Table) -> list[str]:
        return tables.stored_page_sets(self.lake, part, [*self.page_sets, LANDED])

    def left_out(self, counted: list[str], sightings: pa.Table) -> dict[str, _Counts]:
        """What older copies of NEOs add to the counts of these page sets, by table, counted again."""
        known = self._left_out.get(tuple(counted))
        if known is None:
            known = self._left_out[tuple(counted)] = {part.name: Counter() for part in _PARTIALS.values()}
            for page_set, ids in _older_copies(sightings).items():
                rows = tables.read_table(self.lake, CLOSE_APPROACHES, page_set)
                older = rows.filter(pc.is_in(rows["neo_id"], pa.array(ids)))
                for part in _PARTIALS.values():
                    known[part.name] += _counts(_count_again(part, older))
        return known


def every_page_set_is_counted(stored: _Stored, total: str) -> Verdict:
    """No page set is missing, so the total is that of all pages that were asked for."""
    missing = sorted(set(stored.page_sets) - set(stored.counted(_PARTIALS[total])))
    return not missing, {"page sets missing": len(missing), "first of them": str(missing[:10])}


def each_neo_counts_once(stored: _Stored, total: str) -> Verdict:
    """The total is the page sets' counts as they are now, less those of older copies of a NEO, counted again."""
    part, whole = _PARTIALS[total], stored.read(_TOTALS[total])
    counted = stored.counted(part)
    parts = tables.read_page_sets(stored.lake, part, counted)
    sightings = tables.read_page_sets(stored.lake, NEO_SIGHTINGS, counted)
    left_out = stored.left_out(counted, sightings)[part.name]
    in_total, in_page_sets = _counts(whole), _counts(parts.drop_columns("page_set"))
    current = tables.made_from(whole) == total_origin(counted, parts, sightings)
    exact = in_total + left_out == in_page_sets and len(in_total) == whole.num_rows
    return current and exact, {
        "computed from the counts as they are now": current,
        "in total": in_total.total(),
        "in the page sets": in_page_sets.total(),
        "of older copies of NEOs": left_out.total(),
    }


def _older_copies(sightings: pa.Table) -> dict[str, list[str]]:
    """The NEOs of each page set of which a later copy stands in another, found one by one."""
    rows = sightings.filter(sightings["is_counted"]).to_pylist()
    latest = sorted(rows, key=lambda row: (row["fetched_at"], row["page"], row["page_set"]), reverse=True)
    ids, designations = set[str](), set[str]()
    older: dict[str, list[str]] = {}
    for row in latest:
        if row["neo_id"] in ids or row["principal_designation"] in designations:
            older.setdefault(row["page_set"], []).append(row["neo_id"])
        ids.add(row["neo_id"])
        designations.add(row["principal_designation"])
    return older


def _count_again(part: Table, close_approaches: pa.Table) -> pa.Table:
    """The counts of a table of a page set, from some of its approaches."""
    if part is NEAR_MISS_COUNT:
        near = close_approaches.filter(pc.less(close_approaches["miss_distance_au"], NEAR_MISS_AU))
        return near.group_by("orbiting_body").aggregate([([], "count_all")])
    years = close_approaches.append_column("year", pc.year(close_approaches["close_approach_date"]))
    return years.group_by(["year", "orbiting_body"]).aggregate([([], "count_all")])


def _counts(rows: pa.Table) -> _Counts:
    """The last column by all others, added up."""
    counts: _Counts = Counter()
    for *key, number in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        counts[tuple(key)] += number
    return counts


def snapshot_is_consistent(stored: _Stored, snapshot: str) -> Verdict:
    """The lake holds one state of the catalogue: nothing is missing, and it did not move while it was fetched."""
    rows = stored.read(SNAPSHOT).to_pylist()
    found = {
        row["reason"]: f"{row['count']} ({row['detail']})" if row["detail"] else str(row["count"])
        for row in rows
        if row["reason"]
    }
    return all(row["verdict"] == "consistent" for row in rows), found


_TOTALS = {table.name: table for table in (TOTAL_NEAR_MISSES, TOTAL_YEARLY_APPROACHES)}
_PARTIALS = {TOTAL_NEAR_MISSES.name: NEAR_MISS_COUNT, TOTAL_YEARLY_APPROACHES.name: YEARLY_APPROACHES}

_OF_A_PAGE_SET = (
    _Check("raw_pages", every_page_is_whole),
    _Check("raw_pages", catalogue_stood_still, dg.AssetCheckSeverity.WARN),
    _Check(NEO_RECORDS.name, every_neo_is_read_once),
    _Check(NEO_RECORDS.name, nothing_is_in_quarantine, dg.AssetCheckSeverity.WARN),
    _Check(CLOSE_APPROACHES.name, approaches_are_possible),
    _Check(NEAR_MISS_COUNT.name, near_misses_add_up),
    _Check(YEARLY_APPROACHES.name, years_add_up),
)
_OF_TOTALS = (
    *(_Check(name, every_page_set_is_counted, dg.AssetCheckSeverity.WARN) for name in _TOTALS),
    *(_Check(name, each_neo_counts_once) for name in _TOTALS),
    _Check(SNAPSHOT.name, snapshot_is_consistent, dg.AssetCheckSeverity.WARN),
)
