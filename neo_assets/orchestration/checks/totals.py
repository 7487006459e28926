"""Checks of tables of the whole lake: the totals, against the page sets' counts, the snapshot, the age of all stored
pages, NeoWs's own counts. Which checks a page set has is in `page_set`.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache, cached_property

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.bounds import OF_BOUNDS
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.counts import Counts, count_again, counts_of
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.accepted import Standing, accept_by_itself, standings
from neo_assets.pipeline.count import counted_page_sets
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.origins import OF_A_PAGE_SET, origin_of_total
from neo_assets.pipeline.staleness import age, oldest_page, too_old_after
from neo_assets.pipeline.text import first_few
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CATALOGUE_STATS, CLOSE_APPROACHES, NEO_SIGHTINGS, SNAPSHOT, TABLES, TOTALS
from neo_assets.settings import Settings


def total_checks(page_sets: dg.StaticPartitionsDefinition, settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of the two totals, of the snapshot, and of NeoWs's own counts."""

    @dg.multi_asset_check(name="total_checks", specs=[check.spec() for check in OF_TOTALS], can_subset=True)
    def of_totals(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage], engine: dg.ResourceParam[Engine]
    ) -> Iterator[dg.AssetCheckResult]:
        stored = Stored(lake, engine, page_sets.get_partition_keys(), too_old_after(settings.raw_max_age_hours))
        with failing_in_one_line():
            for check in OF_TOTALS:
                if check.key in context.selected_asset_check_keys:
                    yield check.result(stored.verdict(check))
            if all(check.key in context.selected_asset_check_keys for check in OF_BOUNDS):
                accept_if_right(stored)

    return [of_totals]


class Stored:
    """The lake as the checks of the totals read it; figures that several checks need are computed once."""

    def __init__(self, lake: Storage, engine: Engine, page_sets: Sequence[str], too_old_after: timedelta) -> None:
        self.lake, self.engine, self.page_sets, self.too_old_after = lake, engine, page_sets, too_old_after
        self.read = Read(lake)
        self.verdict = cache(lambda check: check.verdict(self, check.asset))
        """The verdict of a check."""
        self._left_out: dict[tuple[str, ...], dict[str, Counts]] = {}

    def counted(self, part: Table) -> list[str]:
        """The page sets that a total of these counts covers."""
        return counted_page_sets(self.lake, part, self.page_sets)

    @cached_property
    def page_sets_of_tables(self) -> dict[str, set[str]]:
        """The page sets that each table has, without the landed objects."""
        return {table.name: set(tables.every_page_set(self.lake, table)) - {LANDED} for table in OF_A_PAGE_SET}

    @cached_property
    def standings(self) -> list[Standing]:
        """How the snapshot stands with each bound."""
        return standings(self.lake, self.engine, self.page_sets)

    def left_out(self, counted: list[str], sightings: pa.Table) -> dict[str, Counts]:
        """What superseded copies contribute to the counts of these page sets, by table, counted with pyarrow."""
        known = self._left_out.get(tuple(counted))
        if known is None:
            known = self._left_out[tuple(counted)] = {part.name: Counts() for part in TOTALS.values()}
            for page_set, ids in _older_copies(sightings).items():
                rows = tables.read_table(self.lake, CLOSE_APPROACHES, page_set)
                older = rows.filter(pc.is_in(rows["neo_id"], pa.array(ids)))
                for part in TOTALS.values():
                    known[part.name] += count_again(part, older)
        return known


def accept_if_right(stored: Stored) -> bool:
    """Accept the snapshot, for later ones to be compared with, if the checks of the totals and the snapshot all pass.

    Returns:
        Whether it was accepted.
    """
    judged = (check for check in OF_TOTALS if check.asset != CATALOGUE_STATS.name)
    return all(stored.verdict(check)[0] for check in judged) and accept_by_itself(stored.lake, stored.standings)


def every_page_set_is_counted(stored: Stored, total: str) -> Verdict:
    """Every requested page set has counts, so the total covers them all."""
    missing = sorted(set(stored.page_sets) - set(stored.counted(TOTALS[TABLES[total]])))
    return not missing, {"page sets missing": len(missing), "first ten": str(missing[:10])}


def each_neo_counts_once(stored: Stored, total: str) -> Verdict:
    """The total equals the sum of the page sets' current counts, minus the approaches of superseded copies."""
    part, whole = TOTALS[TABLES[total]], stored.read(TABLES[total])
    counted = stored.counted(part)
    parts = tables.read_page_sets(stored.lake, part, counted)
    sightings = tables.read_page_sets(stored.lake, NEO_SIGHTINGS, counted)
    left_out = stored.left_out(counted, sightings)[part.name]
    in_total, in_page_sets = counts_of(whole), counts_of(parts.drop_columns("page_set"))
    current = tables.made_from(whole) == origin_of_total(
        TABLES[total], counted, tables.made_from(parts), tables.made_from(sightings)
    )
    exact = in_total + left_out == in_page_sets and len(in_total) == whole.num_rows
    return current and exact, {
        "computed from the current counts": current,
        "in the total": in_total.total(),
        "in the page sets": in_page_sets.total(),
        "of superseded copies": left_out.total(),
    }


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
    return age(oldest) < stored.too_old_after, {
        "oldest page": oldest.page,
        "fetched": dg.MetadataValue.timestamp(oldest.arrived_at),
        "too old after": f"{stored.too_old_after / timedelta(hours=1):g} hours",
    }


_NAMES = [total.name for total in TOTALS]

OF_TOTALS = (
    *(Check(name, every_page_set_is_counted, dg.AssetCheckSeverity.WARN) for name in _NAMES),
    *(Check(name, each_neo_counts_once) for name in _NAMES),
    *(
        Check(table.name, rows_fit_the_schema_of(table, reader=lambda stored: stored.read))
        for table in (*TOTALS, SNAPSHOT, CATALOGUE_STATS)
    ),
    Check(SNAPSHOT.name, no_page_set_is_missing),
    Check(SNAPSHOT.name, no_page_set_is_left_over, dg.AssetCheckSeverity.WARN),
    Check(SNAPSHOT.name, snapshot_is_consistent, dg.AssetCheckSeverity.WARN),
    Check(SNAPSHOT.name, no_page_is_too_old, dg.AssetCheckSeverity.WARN),
    *OF_BOUNDS,
)
