"""Which checks a page set has, and the landed objects, and how Dagster runs them. What they judge lives in the modules
beside this one, by subject; checks of the totals live in `totals`.

Each check reads the stored tables and computes its figures independently: with pyarrow where the graph uses SQL. All
checks of a page set run in one step, because a step costs more than all of them together.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.checks.check import Check, Verdict, materializations
from neo_assets.orchestration.checks.completeness import (
    catalogue_stood_still,
    every_approach_is_read_once,
    every_neo_is_everywhere,
    every_neo_is_read_once,
    every_page_is_whole,
    keys_of_neows_are_known,
    nothing_is_in_quarantine,
)
from neo_assets.orchestration.checks.counts import near_misses_add_up, years_add_up
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.identities import (
    closest_approach_is_the_nearest,
    diameter_follows_from_h,
    hazard_follows_from_moid_and_h,
    units_and_times_agree,
)
from neo_assets.orchestration.checks.known_events import known_events_are_there
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline import origins
from neo_assets.pipeline.text import first_few
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CLOSE_APPROACHES, NEAR_MISS_COUNT, NEO_RECORDS, YEARLY_APPROACHES


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
                yield check.result(check.verdict(read, LANDED))

    return [of_page_sets, of_landed_objects]


def _judge_one(
    context: dg.AssetCheckExecutionContext, lake: Storage, page_set: str
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    read, checks = Read(lake, page_set), _selected(context, OF_A_PAGE_SET)
    made = materializations(context.instance, checks, [page_set])
    for check in checks:
        yield check.evaluation(check.verdict(read, page_set), page_set, made[check.asset, page_set])
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
                verdicts[check][key] = check.verdict(read, key)
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


def _of_all(check: Check, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on several page sets together."""
    if not verdicts:
        remedy = f"run `neo run`, or materialize {check.asset}"
        return False, {"page sets checked": f"none is stored yet: {remedy}"}
    failing = [key for key, (passed, _) in verdicts.items() if not passed]
    return not failing, {"page sets checked": len(verdicts), "page sets that fail": first_few(failing) or "none"}


_TABLES_BY_ASSET: dict[str, list[Table]] = {}
for _table in origins.OF_A_PAGE_SET:
    _TABLES_BY_ASSET.setdefault(_table.asset or _table.name, []).append(_table)

OF_A_PAGE_SET = (
    Check("raw_pages", every_page_is_whole),
    Check("raw_pages", catalogue_stood_still, dg.AssetCheckSeverity.WARN),
    Check("raw_pages", keys_of_neows_are_known, dg.AssetCheckSeverity.WARN),
    Check(NEO_RECORDS.name, every_neo_is_read_once),
    Check(NEO_RECORDS.name, nothing_is_in_quarantine, dg.AssetCheckSeverity.WARN),
    Check(NEO_RECORDS.name, every_neo_is_everywhere),
    Check(NEO_RECORDS.name, diameter_follows_from_h),
    Check(NEO_RECORDS.name, hazard_follows_from_moid_and_h, dg.AssetCheckSeverity.WARN),
    Check(NEO_RECORDS.name, closest_approach_is_the_nearest),
    Check(CLOSE_APPROACHES.name, every_approach_is_read_once),
    Check(CLOSE_APPROACHES.name, units_and_times_agree),
    Check(CLOSE_APPROACHES.name, known_events_are_there),
    Check(NEAR_MISS_COUNT.name, near_misses_add_up),
    Check(YEARLY_APPROACHES.name, years_add_up),
    *(Check(asset, rows_fit_the_schema_of(*tables)) for asset, tables in _TABLES_BY_ASSET.items()),
)

# Pages of landed objects are not part of the catalogue, so no number of NEOs is expected on them.
OF_LANDED_OBJECTS = (
    *(
        Check(LANDED_OBJECTS, check.judge, check.severity)
        for check in OF_A_PAGE_SET
        if check.asset != "raw_pages" and check.key.name != "rows_fit_the_schema"
    ),
    Check(LANDED_OBJECTS, rows_fit_the_schema_of(*origins.OF_A_PAGE_SET)),
)
