"""Checks of the tables of one page set, or of the landed objects. Checks of the totals live in `totals`.

Each check reads the stored tables and computes its figures independently: with pyarrow where the graph uses SQL. All
checks of a page set run in one step, because a step costs more than all of them together.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.checks.check import Check, Verdict, count_again, counts_of, materializations
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.quarantine import without_discarded
from neo_assets.pipeline.text import first_few
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    DAYS_APART,
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


class Read:
    """Reads each stored table of a page set once, though several checks need it."""

    def __init__(self, lake: Storage, page_set: str) -> None:
        """`lake`: the lake. `page_set`: key of the page set."""
        self._lake = lake
        self._read = cache(partial(tables.read_table, lake, page_set=page_set))

    def __call__(self, table: Table) -> pa.Table:
        """A stored table of the page set."""
        return self._read(table)

    def not_discarded(self) -> pa.Table:
        """The rows of `quarantine` whose records were not given up."""
        return without_discarded(self._lake, self._read(QUARANTINE))


def page_set_checks(page_sets: dg.StaticPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """The checks of each page set, and the same ones for the landed objects."""

    @dg.multi_asset_check(
        name="page_set_checks", specs=[check.spec(page_sets) for check in OF_A_PAGE_SET], can_subset=True
    )
    def of_page_sets(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        with failing_in_one_line():
            if context.has_partition_key:
                yield from _judge_one(context, lake, context.partition_key)
            else:
                yield from _judge_several(context, lake, page_sets.get_partition_keys())

    @dg.multi_asset_check(
        name="landed_objects_checks", specs=[check.spec() for check in OF_LANDED_OBJECTS], can_subset=True
    )
    def of_landed_objects(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        read = Read(lake, LANDED)
        with failing_in_one_line():
            for check in _selected(context, OF_LANDED_OBJECTS):
                yield check.result(check.judge(read, LANDED))

    return [of_page_sets, of_landed_objects]


def _judge_one(
    context: dg.AssetCheckExecutionContext, lake: Storage, page_set: str
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    read, checks = Read(lake, page_set), _selected(context, OF_A_PAGE_SET)
    made = materializations(context.instance, checks, [page_set])
    for check in checks:
        yield check.evaluation(check.judge(read, page_set), page_set, made[check.asset, page_set])
        yield _done(check)


def _judge_several(
    context: dg.AssetCheckExecutionContext, lake: Storage, page_sets: Sequence[str]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """The verdicts of a run over a range of page sets, or over all that are stored if it names none, as when the UI
    runs the checks of an asset alone.

    `AssetCheckResult` will not do: Dagster records one verdict for the whole range, and fails if there is no range.
    """
    keys = context.partition_keys if context.has_partition_key_range else page_sets
    checks = _selected(context, OF_A_PAGE_SET)
    made = materializations(context.instance, checks, keys)
    stored = {check: set(tables.stored_page_sets(lake, check.table, keys)) for check in checks}
    verdicts: dict[Check, dict[str, Verdict]] = {check: {} for check in checks}
    for key in keys:
        read = Read(lake, key)
        for check in checks:
            if key in stored[check]:
                verdicts[check][key] = _judge_what_is_there(check, read, key)
    for check, of_page_sets in verdicts.items():
        # The UI's list of checks shows the verdict that was recorded last: failures come last.
        for key, verdict in sorted(of_page_sets.items(), key=lambda item: not item[1][0]):
            yield check.evaluation(verdict, key, made[check.asset, key])
        yield check.evaluation(_of_all(check, of_page_sets))
        yield _done(check)


def _done(check: Check) -> dg.Output[None]:
    """What Dagster expects of a check that was selected."""
    return dg.Output(None, f"{check.asset}_{check.key.name}")


def _selected(context: dg.AssetCheckExecutionContext, checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.key in context.selected_asset_check_keys]


def _judge_what_is_there(check: Check, read: Read, page_set: str) -> Verdict:
    """The verdict; a table that is missing or damaged fails this page set only, not the whole run."""
    try:
        return check.judge(read, page_set)
    except (LakeLacks, LakeDamaged) as error:
        return False, {"cannot be read": str(error)}


def _of_all(check: Check, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on several page sets together."""
    if not verdicts:
        remedy = f"run `neo run`, or materialize {check.asset}"
        return False, {"page sets checked": f"none is stored yet: {remedy}"}
    failing = [key for key, (passed, _) in verdicts.items() if not passed]
    return not failing, {"page sets checked": len(verdicts), "page sets that fail": first_few(failing) or "none"}


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
    """Every record of the set could be read, or was discarded."""
    reasons = read.not_discarded()["reason"].to_pylist()
    return not reasons, {"records in quarantine": len(reasons), "reasons": str(sorted(set(reasons))[:10])}


def approaches_are_possible(read: Read, page_set: str) -> Verdict:
    """Distances, velocities and dates are possible, km and au agree, and each approach is of a known NEO."""
    rows = read(CLOSE_APPROACHES)
    years = pc.year(rows["close_approach_date"])
    apart = pc.abs(pc.days_between(rows["close_approach_date"], pc.cast(rows["close_approach_at"], pa.date32())))
    off = pc.abs(pc.subtract(rows["miss_distance_km"], pc.multiply(rows["miss_distance_au"], float(KM_PER_AU))))
    wrong = {
        "impossible distance or velocity": pc.or_(
            pc.less(rows["miss_distance_au"], 0.0), pc.less_equal(rows["relative_velocity_km_s"], 0.0)
        ),
        "km and au disagree": pc.greater(off, pc.multiply(rows["miss_distance_km"], _ROUNDING)),
        f"outside {YEARS[0]} to {YEARS[1]}": pc.or_(pc.less(years, YEARS[0]), pc.greater(years, YEARS[1])),
        "date and time disagree": pc.greater(apart, DAYS_APART),
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
