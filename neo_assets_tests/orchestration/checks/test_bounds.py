"""The checks of the bounds: their names and severities. Only a snapshot that passes every check is accepted."""

from pathlib import Path

import dagster as dg
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.bounds import OF_BOUNDS
from neo_assets.orchestration.checks.totals import Stored, accept_if_right, of_totals
from neo_assets.pipeline.bounds import BOUNDS
from neo_assets.schema.tables import RAW_PAGE_INDEX
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.orchestration.checks.corrupting import (
    PAGE_SETS,
    Corrupted,
    first_row,
    made,
)
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from, total
from neo_assets_tests.settings import settings_of


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake without fault, of which no snapshot is accepted; do not change it."""
    lake = made(tmp_path_factory.mktemp("right"), Catalogue(45))
    for info in lake.files(layout.ACCEPTED):
        lake.delete(info.path)
    return lake


def fetch(lake: Storage, neos: int, hours: float) -> None:
    """Everything again, from a catalogue of this size."""
    for key in PAGE_SETS:
        gather(lake, key, pages_from(Catalogue(neos), key, hours))
    total(lake, PAGE_SETS)


def accepted(lake: Storage, max_age_hours: float = 1e300) -> bool:
    return accept_if_right(Stored(lake, METRICS, PAGE_SETS, max_age_hours), of_totals(METRICS))


def test_each_bound_has_a_check() -> None:
    assert [check.key.name for check in OF_BOUNDS] == list(BOUNDS)
    errors = {check.key.name for check in OF_BOUNDS if check.severity is dg.AssetCheckSeverity.ERROR}
    assert errors == {name for name, bound in BOUNDS.items() if bound.is_error}


def test_without_an_accepted_snapshot_the_checks_pass_and_say_so(lake_of: Corrupted) -> None:
    stored = Stored(lake_of.lake, METRICS, PAGE_SETS, 1e300)
    said = {"not compared": "no snapshot of 3 pages is accepted yet"}
    assert [stored.verdict(check) for check in OF_BOUNDS] == [(True, said)] * len(OF_BOUNDS)


def test_a_snapshot_that_passes_every_check_is_accepted_once(lake_of: Corrupted) -> None:
    assert accepted(lake_of.lake)
    assert not accepted(lake_of.lake)


def test_dagster_accepts_a_snapshot_once_all_its_checks_are_run(lake_of: Corrupted) -> None:
    """Not if some of the checks of the bounds are left out."""
    defs = build_defs(settings_of(lake=lake_of.lake.root, pages=3, pages_per_set=2, raw_max_age_hours=1e6))
    every = {check.key for check in of_totals(METRICS)}
    accepted_after = []
    for keys in (every - {OF_BOUNDS[0].key}, every):
        with dg.DagsterInstance.ephemeral(str(Path.cwd())) as instance:
            judged = alone(defs, keys).execute_in_process(instance=instance).get_asset_check_evaluations()
        assert all(check.passed for check in judged)
        accepted_after.append(len([*lake_of.lake.files(layout.ACCEPTED)]))
    assert accepted_after == [0, 1]


def test_a_warning_is_enough_for_a_snapshot_not_to_be_accepted(lake_of: Corrupted) -> None:
    assert not accepted(lake_of.lake, max_age_hours=0)


def test_a_snapshot_that_is_not_consistent_is_not_accepted(lake_of: Corrupted) -> None:
    lake_of.change(RAW_PAGE_INDEX, first_row(total_elements=46))
    total(lake_of.lake, PAGE_SETS)
    assert lake_of.noticed() >= {"snapshot_is_consistent"}
    assert not accepted(lake_of.lake)


def test_a_jump_is_not_accepted_however_often_it_is_judged(lake_of: Corrupted) -> None:
    assert accepted(lake_of.lake)
    for hours in (1, 2):
        fetch(lake_of.lake, 44, hours)
        assert lake_of.noticed() == {"neos_are_not_lost"}
        assert not accepted(lake_of.lake)
    severity, figures = lake_of.verdicts()["neos_are_not_lost"]
    assert severity is dg.AssetCheckSeverity.ERROR
    assert figures.pop("accepted").endswith(" UTC")
    assert figures == {"NEOs": "44 instead of 45", "allowed": "0.5 %", "way out": "`neo accept` explains it"}


def test_a_small_change_is_accepted_and_later_snapshots_are_compared_with_it(lake_of: Corrupted) -> None:
    fetch(lake_of.lake, 44, hours=1)
    assert accepted(lake_of.lake)
    fetch(lake_of.lake, 45, hours=2)
    assert accepted(lake_of.lake)
    fetch(lake_of.lake, 44, hours=3)
    assert lake_of.noticed() == {"neos_are_not_lost"}
