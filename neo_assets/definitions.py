"""The one place that puts everything together for Dagster. Nothing is defined here that could stand elsewhere."""

from typing import Any

import dagster as dg

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.bronze import bronze_assets
from neo_assets.orchestration.assets.gold import gold_assets
from neo_assets.orchestration.assets.silver import silver_assets
from neo_assets.orchestration.automation import automation
from neo_assets.orchestration.checks.all import asset_checks
from neo_assets.orchestration.io_managers import ParquetIOManager, RawPagesIOManager
from neo_assets.orchestration.partitions import page_sets
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs


def build_defs(settings: Settings, **overrides: Any) -> dg.Definitions:
    """The whole code location for these settings; `overrides` replace resources by name (`lake`, `neows`, ...)."""
    sets = page_sets(settings.pages, settings.pages_per_set)
    lake = overrides.get("lake", Storage(settings.lake))
    definitions = dg.Definitions(
        assets=[*bronze_assets(sets, settings), *silver_assets(sets), *gold_assets(sets)],
        asset_checks=asset_checks(sets),
        **automation(sets, settings, lambda name: definitions.resolve_job_def(name)),
        resources={
            "lake": lake,
            "neows": NeoWs(settings),
            "raw_pages_io": RawPagesIOManager(lake),
            "parquet_io": ParquetIOManager(lake),
            **overrides,
        },
        executor=dg.in_process_executor,
    )
    return definitions


defs = build_defs(Settings.load())
