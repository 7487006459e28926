"""What Dagster's records say of a run: the page sets that its tags name."""

import dagster as dg
import pytest

from neo_assets.orchestration.runs import page_set_of, page_sets_of

KEYS = ["00000-00001", "00002-00003", "00004-00004"]
A_RANGE = {"dagster/asset_partition_range_start": KEYS[1], "dagster/asset_partition_range_end": KEYS[2]}


@pytest.mark.parametrize(
    ("tags", "one", "each"),
    [
        ({}, None, []),
        ({"dagster/partition": KEYS[1]}, KEYS[1], [KEYS[1]]),
        ({"dagster/partition": "00000-00049"}, "00000-00049", ["00000-00049"]),
        (A_RANGE, None, KEYS[1:]),
    ],
)
def test_a_run_is_for_the_page_sets_that_its_tags_name(tags: dict[str, str], one: str | None, each: list[str]) -> None:
    run = dg.DagsterRun("page_set", tags=tags)
    assert page_set_of(run) == one
    assert page_sets_of(run, KEYS) == each
