"""Freshness: what Dagster's policies say as time passes, and what they miss, the oldest page."""

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions import freshness_evaluator
from dagster._core.definitions.freshness import FreshnessPolicy, FreshnessState
from dagster._core.loader import LoadingContextForTest

from neo_assets.definitions import build_defs
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.settings import settings_of

FIRST, SECOND = PAGE_SETS = ["00000-00000", "00001-00001"]
DAY_S = 24 * 3600
WATCHED = ("raw_pages", "snapshot", *(total.name for total in METRICS.totals))


def settings(lake: Storage, max_age_hours: float = 24) -> Settings:
    return settings_of(lake=lake.root, pages=2, pages_per_set=1, raw_max_age_hours=max_age_hours)


def windows(defs: dg.Definitions) -> dict[str, FreshnessPolicy]:
    graph = defs.resolve_asset_graph()
    policies = {key.to_user_string(): graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}
    return {name: policy for name, policy in policies.items() if policy}


@pytest.mark.parametrize(("max_age_hours", "warn_days", "fail_days"), [(24, 2, 7), (0, 1, 6), (72, 4, 9)])
def test_pages_and_totals_are_expected_every_day(
    lake: Storage, max_age_hours: float, warn_days: int, fail_days: int
) -> None:
    expected = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(days=fail_days), warn_window=timedelta(days=warn_days)
    )
    assert windows(build_defs(settings(lake, max_age_hours))) == dict.fromkeys(WATCHED, expected)


def test_pages_that_are_reused_for_ever_never_get_too_old(lake: Storage) -> None:
    assert windows(build_defs(settings(lake, 1e300))).keys() == set(WATCHED)


@pytest.fixture
def defs(lake: Storage) -> dg.Definitions:
    return build_defs(settings(lake))


@pytest.fixture
def instance(tmp_path: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(str(tmp_path))


def store(lake: Storage, page_set: str, days_old: float) -> None:
    """Store a page set that arrived so long ago, and compute its tables."""
    at = datetime.now(UTC) - timedelta(days=days_old)
    owner.claim(lake, "simulator")
    gather(lake, page_set, [dataclasses.replace(page, fetched_at=at) for page in pages_from(Catalogue(40), page_set)])


def oldest_page_passes(defs: dg.Definitions, instance: dg.DagsterInstance) -> bool:
    """Compute the totals, and what their check of the oldest page says."""
    result = defs.resolve_job_def("totals").execute_in_process(instance=instance)
    [check] = [one for one in result.get_asset_check_evaluations() if one.check_name == "no_page_is_too_old"]
    assert check.severity is dg.AssetCheckSeverity.WARN
    return check.passed


def state(defs: dg.Definitions, instance: dg.DagsterInstance, asset: str) -> FreshnessState:
    """What Dagster's freshness daemon finds."""
    node = defs.resolve_asset_graph().get(dg.AssetKey(asset))
    evaluator = freshness_evaluator.TimeWindowFreshnessPolicyEvaluator()
    return asyncio.run(evaluator.evaluate_freshness(LoadingContextForTest(instance), node))


def test_a_total_turns_stale_and_recovers(
    lake: Storage, defs: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(lake, FIRST, 0)
    found = [state(defs, instance, "total_near_misses")]
    for days in (0, 1.9, 2.1, 7.1):
        if not days:
            defs.resolve_job_def("totals").execute_in_process(instance=instance)
        now = time.time() + days * DAY_S
        monkeypatch.setattr(freshness_evaluator, "get_current_timestamp", lambda now=now: now)
        found.append(state(defs, instance, "total_near_misses"))
    monkeypatch.undo()
    defs.resolve_job_def("totals").execute_in_process(instance=instance)
    found.append(state(defs, instance, "total_near_misses"))
    assert found == [
        FreshnessState.UNKNOWN,
        FreshnessState.PASS,
        FreshnessState.PASS,
        FreshnessState.WARN,
        FreshnessState.FAIL,
        FreshnessState.PASS,
    ]


@disk_and_s3
def test_an_old_page_is_noticed_though_another_page_set_is_fresh(
    lake: Storage, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    store(lake, FIRST, 2.1)
    store(lake, SECOND, 2.1)
    assert not oldest_page_passes(defs, instance)
    run = defs.resolve_job_def("page_set")
    run.execute_in_process(instance=instance, partition_key=SECOND)
    assert state(defs, instance, "raw_pages") is FreshnessState.PASS, "Dagster judges by the newest page set"
    assert not oldest_page_passes(defs, instance)
    run.execute_in_process(instance=instance, partition_key=FIRST)
    assert oldest_page_passes(defs, instance)


@pytest.mark.parametrize(("max_age_hours", "days_old", "passes"), [(24, 1.9, True), (72, 3.9, True), (72, 4.1, False)])
def test_pages_that_may_be_reused_for_longer_are_too_old_later(
    lake: Storage, instance: dg.DagsterInstance, max_age_hours: float, days_old: float, passes: bool
) -> None:
    store(lake, FIRST, days_old)
    assert oldest_page_passes(build_defs(settings(lake, max_age_hours)), instance) is passes


def test_neo_totals_names_the_oldest_page_once_it_is_too_old(
    lake: Storage, neo: Callable[..., Ended], defs: dg.Definitions
) -> None:
    here = {"NEO_LAKE": lake.root, "NEO_PAGES": 2, "NEO_PAGES_PER_SET": 1}

    def shown() -> Ended:
        total(lake, PAGE_SETS)
        return neo("totals", **here)

    store(lake, FIRST, 1.9)
    store(lake, SECOND, 9.5)
    old = shown()
    assert re.fullmatch(
        r"The oldest page is too old: page 1 arrived 9 days ago, on \d{4}-\d\d-\d\d\. Run `neo run` to fetch it "
        r"again\.\n",
        old.err,
    )
    store(lake, SECOND, 0)
    fresh = shown()
    assert (fresh.err, fresh.out) == ("", old.out), "what scripts read does not change"
