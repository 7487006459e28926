"""Which checks a page set has, and the landed objects, and how Dagster runs them. What they judge lives in the modules
beside this one, by subject; checks of the totals live in `totals`.

Each check reads the stored tables and computes its figures independently: with pyarrow where the graph uses SQL. They
run in two steps, because a step costs more than its checks: what the counts are made from, and the counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.landed import LANDED_OBJECTS
from neo_assets.orchestration.checks.check import Check, Verdict, materializations, refuse
from neo_assets.orchestration.checks.completeness import (
    catalogue_stood_still,
    every_approach_is_read_once,
    every_neo_has_an_orbit,
    every_neo_is_everywhere,
    every_neo_is_read_once,
    every_page_is_whole,
    keys_of_neows_are_known,
    nothing_is_in_quarantine,
)
from neo_assets.orchestration.checks.counts import recount_of
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.identities import (
    closest_approach_is_the_nearest,
    diameter_follows_from_h,
    elements_agree,
    hazard_follows_from_moid_and_h,
    units_and_times_agree,
)
from neo_assets.orchestration.checks.known_events import known_events_are_there
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import first_few
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import (
    CLOSE_APPROACHES,
    NEO_RECORDS,
    NEO_SIGHTINGS,
    QUARANTINE,
    RAW_PAGE_INDEX,
)


def page_set_checks(page_sets: dg.StaticPartitionsDefinition, metrics: Metrics) -> list[dg.AssetChecksDefinition]:
    """The checks of each page set, and the same ones for the landed objects."""
    of_landed = of_landed_objects(metrics)

    @dg.multi_asset_check(name="landed_objects_checks", specs=[check.spec() for check in of_landed], can_subset=True)
    def landed(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        read = Read(lake, LANDED)
        with failing_in_one_line():
            verdicts = {check: check.verdict(read, LANDED) for check in _selected(context, of_landed)}
            yield from (check.result(verdict) for check, verdict in verdicts.items())
            refuse(lake, LANDED, verdicts)

    return [
        _step("page_set_checks", OF_PAGES_AND_TABLES, page_sets),
        _step("count_checks", of_counts(metrics), page_sets),
        landed,
    ]


def _step(name: str, checks: Sequence[Check], page_sets: dg.StaticPartitionsDefinition) -> dg.AssetChecksDefinition:
    """A step that runs these checks."""

    @dg.multi_asset_check(name=name, specs=[check.spec(page_sets) for check in checks], can_subset=True)
    def step(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        selected = _selected(context, checks)
        with failing_in_one_line():
            if context.has_partition_key:
                yield from _judge_one(context, lake, context.partition_key, selected)
            else:
                yield from _judge_several(context, lake, page_sets.get_partition_keys(), selected)

    return step


def _judge_one(
    context: dg.AssetCheckExecutionContext, lake: Storage, page_set: str, checks: Sequence[Check]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    read = Read(lake, page_set)
    made = materializations(context.instance, checks, [page_set])
    verdicts = {check: check.verdict(read, page_set) for check in checks}
    for check, verdict in verdicts.items():
        yield check.evaluation(verdict, page_set, made[check.asset, page_set])
    refuse(lake, page_set, verdicts)
    yield from _done(checks)


def _judge_several(
    context: dg.AssetCheckExecutionContext, lake: Storage, page_sets: Sequence[str], checks: Sequence[Check]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """The verdicts of a run over a range of page sets, or over all that are stored if it names none, as when the UI
    runs the checks of an asset alone.

    `AssetCheckResult` will not do: Dagster records one verdict for the whole range, and fails if there is no range.
    """
    keys = context.partition_keys if context.has_partition_key_range else page_sets
    made = materializations(context.instance, checks, keys)
    stored = {check: set(tables.stored_page_sets(lake, check.table, keys)) for check in checks}
    verdicts: dict[str, dict[Check, Verdict]] = {}
    for key in keys:
        read = Read(lake, key)
        verdicts[key] = {check: check.verdict(read, key) for check in checks if key in stored[check]}
    for check in checks:
        of_page_sets = {key: found[check] for key, found in verdicts.items() if check in found}
        # The UI's list of checks shows the verdict that was recorded last: failures come last.
        for key, verdict in sorted(of_page_sets.items(), key=lambda item: not item[1][0]):
            yield check.evaluation(verdict, key, made[check.asset, key])
        yield check.evaluation(_of_all(check, of_page_sets))
    for key, found in verdicts.items():
        refuse(lake, key, found)
    yield from _done(checks)


def _done(checks: Iterable[Check]) -> Iterator[dg.Output[None]]:
    """An output for each check that blocks; without it, Dagster warns that the check gave no result. The other checks
    get none: Dagster stores an event for each output, which took 35 ms more for a page set.
    """
    for check in checks:
        if check.blocking:
            yield dg.Output(None, f"{check.asset}_{check.key.name}")


def _selected(context: dg.AssetCheckExecutionContext, checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if check.key in context.selected_asset_check_keys]


def _of_all(check: Check, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on several page sets together."""
    if not verdicts:
        remedy = f"run `neo run`, or materialize {check.asset}"
        return False, {OF_SEVERAL: f"none is stored yet: {remedy}"}
    failing = [key for key, (passed, _) in verdicts.items() if not passed]
    return not failing, {OF_SEVERAL: len(verdicts), "page sets that fail": first_few(failing) or "none"}


OF_SEVERAL = "page sets checked"
"""The figure that only a verdict on several page sets together has."""

_WARN = dg.AssetCheckSeverity.WARN

OF_PAGES_AND_TABLES = (
    Check("raw_pages", every_page_is_whole),
    Check("raw_pages", catalogue_stood_still, _WARN),
    Check("raw_pages", keys_of_neows_are_known, _WARN),
    Check("raw_pages", rows_fit_the_schema_of(RAW_PAGE_INDEX)),
    Check(NEO_RECORDS.name, rows_fit_the_schema_of(NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE)),
    Check(NEO_RECORDS.name, every_neo_is_read_once, blocking=True),
    Check(NEO_RECORDS.name, every_neo_is_everywhere, blocking=True),
    Check(NEO_RECORDS.name, nothing_is_in_quarantine, _WARN),
    Check(NEO_RECORDS.name, diameter_follows_from_h),
    Check(NEO_RECORDS.name, hazard_follows_from_moid_and_h, _WARN),
    Check(NEO_RECORDS.name, closest_approach_is_the_nearest, blocking=True),
    Check(ORBITS.name, rows_fit_the_schema_of(ORBITS)),
    Check(ORBITS.name, every_neo_has_an_orbit),
    Check(ORBITS.name, elements_agree),
    Check(CLOSE_APPROACHES.name, rows_fit_the_schema_of(CLOSE_APPROACHES)),
    Check(CLOSE_APPROACHES.name, every_approach_is_read_once, blocking=True),
    Check(CLOSE_APPROACHES.name, units_and_times_agree),
    Check(CLOSE_APPROACHES.name, known_events_are_there),
)


def of_counts(metrics: Metrics) -> list[Check]:
    """The checks of the metrics. In a step of their own: metrics are made only after the checks of what they are made
    from.
    """
    return [
        check
        for metric in metrics.adding_up
        if metric.counts
        for check in (
            Check(metric.counts.name, rows_fit_the_schema_of(metric.counts), counts=metric.counts),
            Check(metric.counts.name, recount_of(metrics, metric), counts=metric.counts),
        )
    ]


def of_a_page_set(metrics: Metrics) -> list[Check]:
    """The checks of a page set."""
    return [*OF_PAGES_AND_TABLES, *of_counts(metrics)]


def of_landed_objects(metrics: Metrics) -> list[Check]:
    """The checks of the landed objects. Their pages are not part of the catalogue, so no number of NEOs is expected."""
    same = [
        replace(check, asset=LANDED_OBJECTS)
        for check in of_a_page_set(metrics)
        if check.asset != "raw_pages" and check.key.name != "rows_fit_the_schema"
    ]
    return [*same, Check(LANDED_OBJECTS, rows_fit_the_schema_of(*metrics.of_a_page_set))]
