"""An asset check as data: the asset, the function that judges it, and the severity of a failure. The functions live in
the modules beside this one, by subject.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # the public AssetCheckEvaluation takes it
    AssetCheckEvaluationTargetMaterializationData as MaterializationData,
)

from neo_assets.lake import raw_pages
from neo_assets.lake.storage import LakeDamaged, LakeLacks, LakeWrong, Storage
from neo_assets.pipeline.staleness import stale
from neo_assets.pipeline.text import pairs
from neo_assets.schema.columns import Table
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import name_of
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE, RAW_PAGE_INDEX, TABLES

Verdict = tuple[bool, dict[str, Any]]
"""Whether a check passed, and the figures behind it."""

FETCHED_AGAIN: Verdict = True, {"not checked": "another process has fetched the pages again, and will compute them"}
"""The verdict of checks that would compare tables with newer pages than they were made from."""

_MADE_FROM_PAGES = (RAW_PAGE_INDEX, NEO_RECORDS, ORBITS, CLOSE_APPROACHES, NEO_SIGHTINGS, QUARANTINE)


@dataclass(frozen=True)
class Check:
    """One check of one asset. The function that judges it gives the name and the description."""

    asset: str
    judge: Callable[..., Verdict]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocking: bool = False
    """Whether a failure fails the run, so that nothing is made from the asset."""
    counts: Table | None = None
    """The table of a metric, if the check is of one."""

    @property
    def key(self) -> dg.AssetCheckKey:
        """Dagster's key of the check."""
        return dg.AssetCheckKey(dg.AssetKey(self.asset), self.judge.__name__)

    @property
    def table(self) -> Table:
        """The table that shows whether the asset is stored: its own, or the index of the pages."""
        return self.counts or TABLES.get(self.asset, RAW_PAGE_INDEX)

    def verdict(self, *stored: Any) -> Verdict:
        """The verdict; a table that is missing, damaged or of other types fails this check only, not the whole run."""
        try:
            return self.judge(*stored)
        except (LakeLacks, LakeDamaged, pa.ArrowException) as error:
            return False, {"cannot be read": str(error)}

    def spec(self, partitions_def: dg.PartitionsDefinition | None = None) -> dg.AssetCheckSpec:
        """The check as Dagster's UI shows it; if partitioned, with a status for each page set."""
        with warnings.catch_warnings():
            # Partitioned checks are a preview feature, but Dagster offers no other way to keep a status per page set.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.AssetCheckSpec(
                self.judge.__name__,
                asset=self.asset,
                description=self.judge.__doc__,
                partitions_def=partitions_def,
                blocking=self.blocking,
            )

    def result(self, verdict: Verdict) -> dg.AssetCheckResult:
        """The verdict in the form that Dagster stores."""
        passed, metadata = verdict
        return dg.AssetCheckResult(
            asset_key=self.asset,
            check_name=self.judge.__name__,
            passed=passed,
            severity=self.severity,
            metadata=metadata,
        )

    def evaluation(
        self, verdict: Verdict, page_set: str | None = None, made: MaterializationData | None = None
    ) -> dg.AssetCheckEvaluation:
        """The verdict on a page set and its materialization, or on several together. Dagster stores it as it is, unlike
        a result, for which it looks up the materialization.
        """
        passed, metadata = verdict
        return dg.AssetCheckEvaluation(
            self.key.asset_key, self.key.name, passed, metadata, made, self.severity, partition=page_set
        )


def refuse(lake: Storage, page_set: str, verdicts: Mapping[Check, Verdict]) -> None:
    """Fail the run if a check that blocks has failed, unless another process is making the tables again just now.

    Raises:
        LakeWrong: one has; Dagster then makes nothing from these tables.
    """
    wrong = [
        f"{check.asset} {check.key.name}: {pairs(figures)}"
        for check, (passed, figures) in verdicts.items()
        if check.blocking and not passed
    ]
    if wrong and not stale(lake, raw_pages.known_facts(lake, [page_set]), _MADE_FROM_PAGES):
        raise LakeWrong(
            f"the tables of {name_of(page_set)} are wrong, so nothing is made from them ({'; '.join(wrong)}): compute "
            f"them again with `neo recompute {page_set}`; docs/checks.md explains the checks"
        )


def materializations(
    instance: dg.DagsterInstance, checks: Sequence[Check], page_sets: Sequence[str]
) -> dict[tuple[str, str], MaterializationData | None]:
    """The latest materialization of each asset and page set, which a verdict names: after a later one, the UI drops the
    verdict. Look them up before the tables are read, so that no verdict is recorded for a later one.
    """

    def latest(asset: str, page_set: str) -> MaterializationData | None:
        of_page_set = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[page_set])
        for made in instance.fetch_materializations(of_page_set, limit=1).records:
            return MaterializationData(storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp)
        return None

    return {(asset, key): latest(asset, key) for asset in {check.asset for check in checks} for key in page_sets}
