"""A real `dagster dev`: a backfill of every page set launched over GraphQL, then the totals, both read back."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.conftest import ASSETS, PAGE_SETS, DagsterDev
from neo_assets_tests.integration.harness import PATIENCE_S, counted

pytestmark = pytest.mark.slow

_BACKFILL = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PartitionBackfill { status partitionStatusCounts { runStatus count } } ... on PythonError { message } } }
"""
_ASSETS = """
query { assetNodes { assetKey { path } groupName kinds owners { ... on TeamAssetOwner { team } }
  partitionStats { numMaterialized numFailed } assetMaterializations(limit: 1) {
    metadataEntries { label __typename ... on IntMetadataEntry { intValue } ... on PathMetadataEntry { path } } } } }
"""
_CHECKS = """
query { assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
  name jobNames executionForLatestMaterialization { status runId }
  partitionStatuses { ... on AssetCheckDefaultPartitionStatuses { succeededPartitions failedPartitions
    skippedPartitions inProgressPartitions executionFailedPartitions } } } } } } }
"""
_LAUNCH = """
mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def wait_for(what: Callable[[], str], over: set[str], timeout_s: float) -> str:
    """Ask once a second until the answer is in `over`."""
    deadline = time.monotonic() + timeout_s
    while (state := what()) not in over:
        assert time.monotonic() < deadline, f"still {state} after {timeout_s} s"
        time.sleep(1)
    return state


def lives(group: int) -> bool:
    """Whether any process of a group is still running."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def backfilled(dagster_dev: DagsterDev) -> DagsterDev:
    """The server, after the backfill has ended."""
    backfill_id = dagster_dev.backfill_id.result(PATIENCE_S)

    def status() -> str:
        return str(dagster_dev.ask(_BACKFILL, id=backfill_id)["partitionBackfillOrError"]["status"])

    over = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED", "COMPLETED"}
    assert wait_for(status, over, PATIENCE_S) == "COMPLETED_SUCCESS"
    return dagster_dev


def asset_nodes(dev: DagsterDev, query: str) -> dict[str, Any]:
    return {node["assetKey"]["path"][-1]: node for node in dev.ask(query)["assetNodes"]}


def test_a_backfill_materializes_every_page_set_of_every_asset(backfilled: DagsterDev) -> None:
    nodes = asset_nodes(backfilled, _ASSETS)
    for name in ASSETS:
        assert nodes[name]["partitionStats"] == {"numMaterialized": len(PAGE_SETS), "numFailed": 0}, name


def test_every_materialization_shows_its_rows_and_where_they_are(backfilled: DagsterDev) -> None:
    nodes = asset_nodes(backfilled, _ASSETS)
    for name in ASSETS:
        entries = {entry["label"]: entry for entry in nodes[name]["assetMaterializations"][0]["metadataEntries"]}
        assert entries["dagster/row_count"]["intValue"] > 0, name
        [path] = [Path(entry["path"]) for entry in entries.values() if entry["__typename"] == "PathMetadataEntry"]
        assert path.is_file(), name
        assert path.is_relative_to(backfilled.place.lake), name


def test_every_check_of_a_page_set_passed(backfilled: DagsterDev) -> None:
    nodes = asset_nodes(backfilled, _CHECKS)
    for name in ASSETS:
        checks = nodes[name]["assetChecksOrError"]["checks"]
        assert checks, name
        for check in checks:
            assert check["executionForLatestMaterialization"]["status"] == "SUCCEEDED", check


def launch(dev: DagsterDev, **selector: Any) -> tuple[str, str]:
    """Launch a run, as the UI does, and wait for its end. Returns its id and status."""
    whole = {"repositoryLocationName": "neo_assets", "repositoryName": "__repository__"} | selector
    launched = dev.ask(_LAUNCH, p={"selector": whole, "runConfigData": {}})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    def status() -> str:
        return str(dev.ask(_RUN, id=run_id)["runOrError"]["status"])

    return run_id, wait_for(status, {"SUCCESS", "FAILURE", "CANCELED"}, PATIENCE_S)


def test_the_checks_of_an_asset_alone_report_every_page_set(backfilled: DagsterDev) -> None:
    """As "Execute all" on its page in the UI launches them: without a page set."""
    checks = asset_nodes(backfilled, _CHECKS)["neo_records"]["assetChecksOrError"]["checks"]
    selected = [{"assetKey": {"path": ["neo_records"]}, "name": check["name"]} for check in checks]
    job = checks[0]["jobNames"][0]
    run_id, status = launch(backfilled, jobName=job, assetSelection=[], assetCheckSelection=selected)
    assert status == "SUCCESS"
    for check in asset_nodes(backfilled, _CHECKS)["neo_records"]["assetChecksOrError"]["checks"]:
        assert check["executionForLatestMaterialization"] == {"status": "SUCCEEDED", "runId": run_id}
        of_page_sets = {status: keys for status, keys in check["partitionStatuses"].items() if keys}
        assert of_page_sets == {"succeededPartitions": PAGE_SETS}


def test_the_totals_agree_with_the_objects_and_the_server_leaves_nothing_behind(backfilled: DagsterDev) -> None:
    assert launch(backfilled, jobName="totals")[1] == "SUCCESS"
    totals = json.loads(backfilled.place.neo("totals", "--json").out)
    assert totals.items() >= counted(Catalogue(), 120).items()
    assert totals["page_sets"] == totals["page_sets_expected"] == len(PAGE_SETS)
    assert totals["up_to_date"]

    group = backfilled.server.process.pid
    os.killpg(group, signal.SIGINT)
    assert backfilled.server.process.wait(PATIENCE_S) == 0
    assert wait_for(lambda: "alive" if lives(group) else "gone", {"gone"}, PATIENCE_S)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect(("127.0.0.1", int(backfilled.url.rpartition(":")[2])))
    assert {path.name for path in backfilled.place.path.iterdir()} == {"data", "dagster.yaml", "workspace.yaml"}
    assert {path.name for path in (backfilled.place.path / "data").iterdir()} == {"dagster", "lake"}
