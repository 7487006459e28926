"""A code location whose sensor `alerts` is ticked as Dagster's daemon does. No assertions about alerts here."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from neo_assets.definitions import build_defs
from neo_assets.lake import owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.pipeline.by_hand import gather, pages_from
from neo_assets_tests.settings import settings_of

PAGE_SETS = [f"{page:05d}-{page:05d}" for page in range(7)]
FIRST, SECOND = PAGE_SETS[:2]
UI = "https://dagster.example.org"


class Watch:
    """A code location over a lake, with the sensor and its cursor."""

    def __init__(self, lake: Storage, place: Path, **values: Any) -> None:
        self.lake, self.instance = lake, dg.DagsterInstance.ephemeral(str(place))
        self.settings = settings_of(**({"pages": len(PAGE_SETS), "pages_per_set": 1, "dagster_url": UI} | values))
        self.defs = build_defs(self.settings, lake=lake)
        self.cursor: str | None = None
        self.said: str | None = None

    def tick(self) -> None:
        """Evaluate the sensor."""
        context = dg.build_sensor_context(
            self.instance,
            cursor=self.cursor,
            repository_def=self.defs.get_repository_def(),
            sensor_name="alerts",
            resources={"lake": self.lake},
        )
        result = self.defs.resolve_sensor_def("alerts").evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message
        assert not result.run_requests

    def run(self, job: str, *page_sets: str | None) -> list[bool]:
        """Run a job for page sets; whether each run succeeded."""
        definition = self.defs.resolve_job_def(job)
        return [
            definition.execute_in_process(instance=self.instance, partition_key=key, raise_on_error=False).success
            for key in page_sets
        ]

    def check(self, asset: str, check: str, page_set: str) -> bool:
        """Run one asset check; whether it passed."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), check)
        result = alone(self.defs, [key]).execute_in_process(instance=self.instance, partition_key=page_set)
        [judged] = result.get_asset_check_evaluations()
        return judged.passed

    def fill(self, *page_sets: str, fetched_at: datetime | None = None) -> None:
        """Store pages and tables of page sets without a run, as if fetched now or at a time."""
        owner.claim(self.lake, "simulator")
        at = fetched_at or datetime.now(UTC)
        for key in page_sets:
            pages = pages_from(Catalogue(20 * len(PAGE_SETS)), key)
            gather(self.lake, key, [dataclasses.replace(page, fetched_at=at) for page in pages])

    def lose_a_count(self, page_set: str = FIRST) -> None:
        counts = tables.read_table(self.lake, NEAR_MISS_COUNT, page_set)
        tables.write_table(self.lake, NEAR_MISS_COUNT, counts.slice(1), page_set)


def lines_of(text: str) -> dict[str, str]:
    """The named lines of a message."""
    return {name: value for name, _, value in (line.partition(": ") for line in text.splitlines()[1:])}
