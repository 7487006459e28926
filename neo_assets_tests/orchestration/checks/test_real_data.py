"""Real pages pass every check that fails as an error: what a rule allows was measured on them."""

from collections import defaultdict
from collections.abc import Sequence

import dagster as dg
import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.page_set import of_a_page_set
from neo_assets.orchestration.checks.read import Read
from neo_assets.schema.page_sets import page_set_key
from neo_assets.schema.pages import Page
from neo_assets_tests.conftest import Lakes
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import NEEDS_CAPTURES, captured_pages, wrapped

NOT_OF_THESE = {
    "every_page_is_whole": "the captures are from all over the catalogue",
    "catalogue_stood_still": "they are of different days",
    "keys_of_neows_are_known": "most lack the envelope of a page",
    "nothing_is_in_quarantine": "an object of 2016 has an impossible time",
}
"""Checks that these pages cannot pass, and why."""


def alarms(lake: Storage, pages: Sequence[Page]) -> dict[str, object]:
    """The figures of the checks that fail over these pages, by name."""
    owner.claim(lake, "nasa")
    key = page_set_key(0, len(pages) - 1)
    gather(lake, key, wrapped(pages))
    read = Read(lake, key)
    judged = {check.key.name: check.verdict(read, key) for check in of_a_page_set(METRICS)}
    failing = {name: figures for name, (passed, figures) in judged.items() if not passed}
    return {name: figures for name, figures in failing.items() if name not in NOT_OF_THESE}


@NEEDS_CAPTURES
@pytest.mark.slow
def test_real_pages_raise_no_alarm(lakes: Lakes) -> None:
    by_file = defaultdict(list)
    for name, page in captured_pages().items():
        by_file[name.split()[0]].append(page)
    assert len(by_file) > 10
    for name, pages in by_file.items():
        assert alarms(lakes.new(), pages) == {}, name


def test_all_checks_of_the_values_are_among_them() -> None:
    errors = {check.key.name for check in of_a_page_set(METRICS) if check.severity is dg.AssetCheckSeverity.ERROR}
    assert errors & NOT_OF_THESE.keys() == {"every_page_is_whole"}
