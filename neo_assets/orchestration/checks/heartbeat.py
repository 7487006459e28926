"""Checks of the heartbeat: whether its table is right, and what it says of NeoWs."""

from collections.abc import Iterator

import dagster as dg

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.derived import rows_fit_the_schema_of
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.failures import failing_in_one_line
from neo_assets.pipeline.consistency import pages_beyond
from neo_assets.pipeline.heartbeat import catalogue_pages, last_conclusive
from neo_assets.schema.heartbeat import OK
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.settings import Settings


def heartbeat_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of `heartbeat`."""

    @dg.multi_asset_check(name="heartbeat_checks", specs=[check.spec() for check in OF_HEARTBEAT], can_subset=True)
    def of_heartbeat(
        context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Storage]
    ) -> Iterator[dg.AssetCheckResult]:
        with failing_in_one_line():
            for check in OF_HEARTBEAT:
                if check.key in context.selected_asset_check_keys:
                    yield check.result(check.verdict(lake, settings.pages))

    return [of_heartbeat]


def neows_is_in_order(lake: Storage, requested: int) -> Verdict:
    """NeoWs answered the last heartbeat as it should. Heartbeats for which no requests were left are not judged."""
    beat = last_conclusive(lake)
    if beat is None:
        return True, {"status": "not known yet"}
    shown = {"status": beat.status, "asked": dg.MetadataValue.timestamp(beat.at)}
    return beat.status == OK, shown | ({"detail": beat.detail} if beat.detail else {})


def neo_pages_cover_the_catalogue(lake: Storage, requested: int) -> Verdict:
    """NEO_PAGES covers the catalogue as it is now, if it is meant to: if it covers at least four fifths of it."""
    pages = catalogue_pages(lake)
    if pages is None:
        return True, {"pages in the catalogue": "not known yet"}
    beyond = pages_beyond(requested, pages)
    shown = {"pages in the catalogue": pages, "NEO_PAGES": requested}
    return not beyond, shown | (
        {"pages beyond NEO_PAGES": beyond, "way out": f"set NEO_PAGES={pages}"} if beyond else {}
    )


OF_HEARTBEAT = (
    Check(HEARTBEAT.name, rows_fit_the_schema_of(HEARTBEAT, reader=Read)),
    Check(HEARTBEAT.name, neows_is_in_order, dg.AssetCheckSeverity.WARN),
    Check(HEARTBEAT.name, neo_pages_cover_the_catalogue, dg.AssetCheckSeverity.WARN),
)
