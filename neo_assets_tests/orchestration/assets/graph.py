"""The asset graph over a lake and a served simulator, run by Dagster in this process. No assertions here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.bronze import bronze_assets
from neo_assets.orchestration.assets.gold import gold_assets
from neo_assets.orchestration.assets.landed import landed_assets
from neo_assets.orchestration.assets.products import product_assets
from neo_assets.orchestration.assets.silver import silver_assets
from neo_assets.orchestration.io_managers import ParquetIOManager, RawPagesIOManager
from neo_assets.products.postgres import Postgres
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

KEY = "a-key-for-the-served-simulator"
FIRST, SECOND = "00000-00001", "00002-00003"


def at(served: Served, **values: Any) -> Settings:
    """Settings for a served simulator: four pages, two in a set, no pauses between requests."""
    whole = {"pages": 4, "nasa_api_keys": KEY, "base_url": served.url, "requests_per_second": 1e6} | values
    return settings_of(**whole)


@dataclass
class Graph:
    """Every asset over a lake."""

    lake: Storage
    settings: Settings
    instance: dg.DagsterInstance = field(default_factory=lambda: dg.DagsterInstance.ephemeral(str(Path.cwd())))

    def run(
        self, select: str, first: str | None = None, last: str | None = None, config: dict[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets (names separated by commas) for one page set, for a range of them, or for the whole lake.

        `config` is the run config of `raw_pages`.
        """
        sets = dg.StaticPartitionsDefinition(page_set_keys(self.settings.pages, self.settings.pages_per_set))
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        with NeoWs(self.settings) as neows:
            return dg.materialize(
                [
                    *bronze_assets(sets, self.settings),
                    *silver_assets(sets),
                    *landed_assets(),
                    *gold_assets(sets, self.settings, METRICS),
                    *product_assets(sets, METRICS, Postgres.of(self.settings)),
                ],
                selection=select.split(","),
                partition_key=None if last else first,
                tags={name: key for name, key in tags.items() if key} if last else None,
                run_config={"ops": {"raw_pages": {"config": config}}} if config else None,
                instance=self.instance,
                raise_on_error=False,
                resources={
                    "lake": self.lake,
                    "neows": neows,
                    "metrics": METRICS,
                    "raw_pages_io": RawPagesIOManager(self.lake),
                    "parquet_io": ParquetIOManager(self.lake, METRICS.tables),
                },
            )


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The message of the failed step of a run, without a traceback."""
    assert not result.success
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None, event.step_failure_data.error
    return data.description or ""


def metadata(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The metadata of each materialization of a run, by asset and page set."""
    found = {}
    for event in result.get_asset_materialization_events():
        one = event.step_materialization_data.materialization
        values = {name: value.value for name, value in one.metadata.items()}
        found[one.asset_key.to_user_string(), one.partition] = values
    return found
