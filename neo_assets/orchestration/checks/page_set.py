"""Checks of the tables of one page set, or of the landed objects. Checks of the totals live in `totals`.

Each check reads the stored tables and computes its figures independently: with pyarrow where the graph uses SQL. All
checks of a page set run in one step, because a step costs more than all of them together.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.checks.check import Check, Verdict, count_again, counts_of
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    KM_PER_AU,
    NEAR_MISS_COUNT,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    NEOS_PER_PAGE,
    QUARANTINE,
    RAW_PAGE_INDEX,
    YEARLY_APPROACHES,
    YEARS,
    Table,
)

_ROUNDING = 1e-6
"""Relative difference allowed between km and au: pages from before 2018 round them independently."""

Read = Callable[[Table], pa.Table]
"""Reads a stored table of the page set."""


def page_set_checks(page_sets: dg.StaticPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """The checks of each page set, and the same ones for the landed objects."""

    @dg.multi_asset_check(
        name="page_set_checks", specs=[check.spec(page_sets) for check in OF_A_PAGE_SET], can_subset=True
    )
    def of_page_sets(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        yield from _judge(context, lake, OF_A_PAGE_SET, context.partition_keys)

    @dg.multi_asset_check(
        name="landed_objects_checks", specs=[check.spec() for check in OF_LANDED_OBJECTS], can_subset=True
    )
    def of_landed_objects(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        yield from _judge(context, lake, OF_LANDED_OBJECTS, [LANDED])

    return [of_page_sets, of_landed_objects]


def _judge(
    context: dg.AssetCheckExecutionContext, lake: Storage, checks: Sequence[Check], page_sets: Sequence[str]
) -> Iterator[dg.AssetCheckResult]:
    # In a run over several page sets, Dagster keeps only one status per check: that of the first failure, if any.
    reads = {key: cache(partial(tables.read_table, lake, page_set=key)) for key in page_sets}
    with failing_in_one_line():
        for check in checks:
            if check.key in context.selected_asset_check_keys:
                verdicts = [check.judge(read, key) for key, read in reads.items()]
                yield check.result(min(verdicts, key=lambda verdict: verdict[0]))


def every_page_is_whole(read: Read, page_set: str) -> Verdict:
    """Every page of the set is stored, with the number of NEOs expected at its place in the catalogue."""
    index = read(RAW_PAGE_INDEX).to_pylist()
    short = [
        row["page"]
        for row in index
        if row["neos"] != min(max(row["total_elements"] - NEOS_PER_PAGE * row["page"], 0), NEOS_PER_PAGE)
    ]
    missing = sorted(set(pages_of(page_set)) - {row["page"] for row in index})
    return not short and not missing, {"pages with too few or too many NEOs": str(short), "pages missing": str(missing)}


def catalogue_stood_still(read: Read, page_set: str) -> Verdict:
    """All pages of the set report the same catalogue size."""
    sizes = sorted(set(read(RAW_PAGE_INDEX)["total_elements"].to_pylist()))
    return len(sizes) == 1, {"NEOs in the catalogue": str(sizes)}


def every_neo_is_read_once(read: Read, page_set: str) -> Verdict:
    """Each NEO on the pages is in `neo_records` once, in quarantine, or an older copy of one that is."""
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
        "superseded copies left out": older,
        "in quarantine": quarantined,
    }


def nothing_is_in_quarantine(read: Read, page_set: str) -> Verdict:
    """Every record of the set could be read."""
    reasons = read(QUARANTINE)["reason"].to_pylist()
    return not reasons, {"records in quarantine": len(reasons), "reasons": str(sorted(set(reasons))[:10])}


def approaches_are_possible(read: Read, page_set: str) -> Verdict:
    """Distances, velocities and dates are possible, km and au agree, and each approach is of a known NEO."""
    rows = read(CLOSE_APPROACHES)
    years = pc.year(rows["close_approach_date"])
    off = pc.abs(pc.subtract(rows["miss_distance_km"], pc.multiply(rows["miss_distance_au"], float(KM_PER_AU))))
    wrong = {
        "impossible distance or velocity": pc.or_(
            pc.less(rows["miss_distance_au"], 0.0), pc.less_equal(rows["relative_velocity_km_s"], 0.0)
        ),
        "km and au disagree": pc.greater(off, pc.multiply(rows["miss_distance_km"], _ROUNDING)),
        f"outside {YEARS[0]} to {YEARS[1]}": pc.or_(pc.less(years, YEARS[0]), pc.greater(years, YEARS[1])),
        "date and time disagree": pc.not_equal(
            rows["close_approach_date"], pc.cast(rows["close_approach_at"], pa.date32())
        ),
        "unknown NEO": pc.invert(pc.is_in(rows["neo_id"], read(NEO_SIGHTINGS)["neo_id"].combine_chunks())),
    }
    counts = {name: pc.sum(rows, min_count=0).as_py() for name, rows in wrong.items()}
    return not any(counts.values()), counts


def near_misses_add_up(read: Read, page_set: str) -> Verdict:
    """Near misses counted again from the stored approaches, by orbiting body, equal the table."""
    return _add_up(NEAR_MISS_COUNT, read)


def years_add_up(read: Read, page_set: str) -> Verdict:
    """Approaches counted again from the stored ones, by year and orbiting body, equal the table."""
    return _add_up(YEARLY_APPROACHES, read)


def _add_up(table: Table, read: Read) -> Verdict:
    rows = read(table)
    stored, again = counts_of(rows), count_again(table, read(CLOSE_APPROACHES))
    return stored == again and len(stored) == rows.num_rows, {"stored": stored.total(), "counted again": again.total()}


OF_A_PAGE_SET = (
    Check("raw_pages", every_page_is_whole),
    Check("raw_pages", catalogue_stood_still, dg.AssetCheckSeverity.WARN),
    Check(NEO_RECORDS.name, every_neo_is_read_once),
    Check(NEO_RECORDS.name, nothing_is_in_quarantine, dg.AssetCheckSeverity.WARN),
    Check(CLOSE_APPROACHES.name, approaches_are_possible),
    Check(NEAR_MISS_COUNT.name, near_misses_add_up),
    Check(YEARLY_APPROACHES.name, years_add_up),
)

# Pages of landed objects are not part of the catalogue, so no number of NEOs is expected on them.
OF_LANDED_OBJECTS = tuple(
    Check(LANDED_OBJECTS, check.judge, check.severity) for check in OF_A_PAGE_SET if check.asset != "raw_pages"
)
