"""Checks of tables of the whole lake: the totals, against the page sets' counts, the snapshot, the age of all stored
pages, NeoWs's own counts. Which checks a page set has is in `page_set`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import cache, cached_property

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.bounds import OF_BOUNDS
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.counts import figures, recounted, same
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.accepted import Standing, accept_by_itself, standings
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.count import Origins, add_up, covered, of_snapshot
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import Metric
from neo_assets.pipeline.staleness import is_too_old, oldest_page, too_old_after
from neo_assets.pipeline.text import first_few
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CATALOGUE_STATS, SNAPSHOT
from neo_assets.settings import Settings


def total_checks(
    page_sets: dg.StaticPartitionsDefinition, settings: Settings, metrics: Metrics
) -> list[dg.AssetChecksDefinition]:
    """The checks of the totals, the snapshot and NeoWs's own counts; those of the metrics of the whole catalogue."""

    def judge(name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
        @dg.multi_asset_check(name=name, specs=[check.spec() for check in checks], can_subset=True)
        def judged(
            context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
        ) -> Iterator[dg.AssetCheckResult]:
            stored = Stored(lake, metrics, page_sets.get_partition_keys(), settings.raw_max_age_hours)
            with failing_in_one_line():
                for check in checks:
                    if check.key in context.selected_asset_check_keys:
                        yield check.result(stored.verdict(check))
                if context.selected_asset_check_keys.issuperset(check.key for check in OF_BOUNDS):
                    accept_if_right(stored, checks)

        return judged

    return [judge("total_checks", of_totals(metrics)), judge("catalogue_checks", of_catalogue(metrics))]


class Stored:
    """The lake as the checks of the totals read it; figures that several checks need are computed once."""

    def __init__(self, lake: Storage, metrics: Metrics, page_sets: Sequence[str], max_age_hours: float) -> None:
        self.lake, self.metrics, self.page_sets, self.max_age_hours = lake, metrics, page_sets, max_age_hours
        self.read, self.now = Read(lake), Origins(lake)
        self.verdict = cache(lambda check: check.verdict(self, check.asset))
        """The verdict of a check."""

    def covered(self, metric: Metric) -> list[str]:
        """The page sets that a total covers."""
        return covered(self.lake, metric, self.page_sets)

    @cached_property
    def page_sets_of_tables(self) -> dict[str, set[str]]:
        """The page sets that each table has, without the landed objects."""
        return {
            table.name: set(tables.every_page_set(self.lake, table)) - {LANDED} for table in self.metrics.of_a_page_set
        }

    @cached_property
    def standings(self) -> list[Standing]:
        """How the snapshot stands with each bound."""
        return standings(self.lake, self.metrics, self.page_sets)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The page sets that were read, and the landed objects."""
        return Catalogue.whole(self.lake, self.metrics, self.page_sets)

    @cached_property
    def older_copies(self) -> dict[str, pa.Array]:
        """The NEOs of each page set of which another holds a later copy."""
        return {key: pa.array(ids) for key, ids in _older_copies(self.catalogue.sightings).items()}

    def rows(self, table: Table, columns: Sequence[str], page_sets: Iterable[str], older: bool) -> pa.Table:
        """The rows of some page sets that belong to older copies of NEOs, or to all others."""
        parts = []
        for key in page_sets:
            rows = tables.read_page_sets(self.lake, table, [key], columns).select(columns)
            if key in self.older_copies:
                of_older = pc.is_in(rows[0], self.older_copies[key])
                rows = rows.filter(of_older if older else pc.invert(of_older))
            parts.append(rows.replace_schema_metadata())
        return pa.concat_tables([table.schema.empty_table().select(columns), *parts])


def accept_if_right(stored: Stored, checks: Iterable[Check]) -> bool:
    """Accept the snapshot, for later ones to be compared with, if the checks of the totals and the snapshot all pass.

    Returns:
        Whether it was accepted.
    """
    judged = (check for check in checks if check.asset != CATALOGUE_STATS.name)
    return all(stored.verdict(check)[0] for check in judged) and accept_by_itself(stored.lake, stored.standings)


def every_page_set_is_counted(stored: Stored, total: str) -> Verdict:
    """Every requested page set has counts, so the total covers them all."""
    missing = sorted(set(stored.page_sets) - set(stored.covered(stored.metrics.of_table[total])))
    return not missing, {"page sets missing": len(missing), "namely": first_few(missing) or "none"}


def each_neo_counts_once(stored: Stored, total: str) -> Verdict:
    """The total is made from the current tables. Together with the metric of the superseded copies it equals the page
    sets' metrics; if the metric does not add up, it equals the metric of all other copies.
    """
    metric, whole = stored.metrics.of_table[total], stored.read(stored.metrics.tables[total])
    keys = stored.covered(metric)
    current = tables.made_from(whole) == stored.now.of(metric, keys)
    if metric.counts:
        of_older = _recounted(stored, metric, stored.older_copies, older=True)
        in_page_sets = tables.read_page_sets(stored.lake, metric.counts, keys).drop_columns("page_set")
        exact = same(metric, add_up(metric, [whole, of_older]), add_up(metric, [in_page_sets]))
        compared = {"in the total": whole, "in the page sets": in_page_sets, "of superseded copies": of_older}
    else:
        again = _recounted(stored, metric, keys, older=False)
        exact, compared = same(metric, whole, again), {"in the total": whole, "counted again": again}
    return current and exact, {"computed from the current counts": current, **figures(metric, compared)}


def _recounted(stored: Stored, metric: Metric, page_sets: Iterable[str], older: bool) -> pa.Table:
    """The metric of older copies of NEOs in these page sets, or of all others."""
    rows = {one.name: stored.rows(one, metric.reads[one.name], page_sets, older) for one in metric.total.reads}
    return recounted(stored.metrics, metric, rows, **of_snapshot(metric, stored.catalogue))


def _older_copies(sightings: pa.Table) -> dict[str, list[str]]:
    """The NEOs of each page set of which another holds a later copy, found row by row instead of with SQL."""
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


def no_page_set_is_missing(stored: Stored, snapshot: str) -> Verdict:
    """Every table has all requested page sets, unless the lake holds nothing but landed objects."""
    found = stored.page_sets_of_tables
    if not any(found.values()):
        return True, {"page sets stored": 0}
    wanted = set(stored.page_sets)
    missing = {
        f"missing from {name}": first_few(sorted(wanted - keys)) for name, keys in found.items() if wanted - keys
    }
    return not missing, {"page sets requested": len(wanted)} | missing


def no_page_set_is_left_over(stored: Stored, snapshot: str) -> Verdict:
    """No table has a page set that is not requested: a reader of all its files would find more than the totals say."""
    others = {name: keys - set(stored.page_sets) for name, keys in stored.page_sets_of_tables.items()}
    extra = {f"left over in {name}": first_few(sorted(keys)) for name, keys in others.items() if keys}
    return not extra, extra | {"way out": "`neo prune`"} if extra else {}


def snapshot_is_consistent(stored: Stored, snapshot: str) -> Verdict:
    """The lake holds a single state of the catalogue: nothing is missing, nothing changed during fetching."""
    rows = stored.read(SNAPSHOT).to_pylist()
    found = {
        row["reason"]: f"{row['count']} ({row['detail']})" if row["detail"] else str(row["count"])
        for row in rows
        if row["reason"]
    }
    return all(row["verdict"] == "consistent" for row in rows), found


def no_page_is_too_old(stored: Stored, snapshot: str) -> Verdict:
    """The oldest page is at most a day older than NEO_RAW_MAX_AGE_HOURS. Dagster's freshness shows the newest."""
    oldest = oldest_page(stored.lake, stored.page_sets)
    if oldest is None:
        return True, {"pages": "none is stored yet"}
    return not is_too_old(oldest, stored.max_age_hours), {
        "oldest page": oldest.page,
        "fetched": dg.MetadataValue.timestamp(oldest.arrived_at),
        "too old after": f"{too_old_after(stored.max_age_hours) / timedelta(hours=1):g} hours",
    }


_WARN = dg.AssetCheckSeverity.WARN


def of_totals(metrics: Metrics) -> list[Check]:
    """The checks of the totals, of the snapshot, and of NeoWs's own counts."""
    return [
        *(Check(total.name, every_page_set_is_counted, _WARN) for total in metrics.totals),
        *(Check(total.name, each_neo_counts_once) for total in metrics.totals),
        *(
            Check(table.name, rows_fit_the_schema_of(table, reader=lambda stored: stored.read))
            for table in (*metrics.totals, SNAPSHOT, CATALOGUE_STATS)
        ),
        Check(SNAPSHOT.name, no_page_set_is_missing),
        Check(SNAPSHOT.name, no_page_set_is_left_over, _WARN),
        Check(SNAPSHOT.name, snapshot_is_consistent, _WARN),
        Check(SNAPSHOT.name, no_page_is_too_old, _WARN),
        *OF_BOUNDS,
    ]


def of_catalogue(metrics: Metrics) -> list[Check]:
    """The checks of the metrics of the whole catalogue."""
    each = [metric.total for metric in metrics.over_catalogue]
    return [
        *(Check(total.name, each_neo_counts_once) for total in each),
        *(Check(total.name, rows_fit_the_schema_of(total, reader=lambda stored: stored.read)) for total in each),
    ]
