"""Assembles Dagster's code location from its parts. Nothing else is defined here."""

from typing import Any

import dagster as dg

from neo_assets import logs
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.bronze import bronze_assets
from neo_assets.orchestration.assets.gold import gold_assets
from neo_assets.orchestration.assets.landed import landed_assets
from neo_assets.orchestration.assets.products import product_assets
from neo_assets.orchestration.assets.silver import silver_assets
from neo_assets.orchestration.automation import automation
from neo_assets.orchestration.checks.heartbeat import heartbeat_checks
from neo_assets.orchestration.checks.page_set import page_set_checks
from neo_assets.orchestration.checks.products import product_checks
from neo_assets.orchestration.checks.totals import total_checks
from neo_assets.orchestration.instance import lake_resource
from neo_assets.orchestration.io_managers import ParquetIOManager, RawPagesIOManager
from neo_assets.orchestration.metadata import with_page_sets
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.products.postgres import Postgres
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs


def build_defs(settings: Settings, *, lake: Storage | None = None, neows: NeoWs | None = None) -> dg.Definitions:
    """Build the whole code location for these settings.

    Args:
        settings: the settings.
        lake: used instead of the lake that the settings name.
        neows: used instead of the source of pages that the settings name.
    """
    sets = dg.StaticPartitionsDefinition(settings.page_sets)
    metrics = Metrics.of(settings)
    postgres = Postgres.of(settings)
    lake, neows = lake or Storage(settings.lake), neows or NeoWs(settings)
    place: dict[str, dg.MetadataValue[Any]] = {
        "lake": dg.MetadataValue.path(lake.root),
        "source of pages": dg.MetadataValue.text(neows.where),
    }
    automated = automation(sets, settings, metrics)
    assets = [
        *bronze_assets(sets, settings),
        *silver_assets(sets),
        *landed_assets(),
        *gold_assets(sets, settings, metrics),
        *product_assets(sets, metrics, postgres),
    ]
    return dg.Definitions(
        assets=dg.map_asset_specs(lambda spec: with_page_sets(spec).merge_attributes(metadata=place), assets),
        asset_checks=[
            *page_set_checks(sets, metrics),
            *total_checks(sets, settings, metrics),
            *heartbeat_checks(settings),
            *product_checks(sets, postgres),
        ],
        jobs=automated.jobs,
        schedules=automated.schedules,
        sensors=automated.sensors,
        resources={
            "lake": lake_resource(lake, neows, settings.longest_idle_s),
            "neows": neows,
            "metrics": metrics,
            "raw_pages_io": RawPagesIOManager(lake),
            "parquet_io": ParquetIOManager(lake, metrics.tables),
        },
        executor=dg.in_process_executor,
        metadata=place,
    )


_settings = Settings.load()
if _settings.log == "json":
    logs.as_json()

defs = build_defs(_settings)
