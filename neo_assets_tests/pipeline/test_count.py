"""Totals count each NEO once, by the copy fetched last, however the catalogue changed between page sets."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_assets.lake import layout, tables
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.count import add_up, bring_up_to_date, covered, over_catalogue, total
from neo_assets.pipeline.metrics.registry import (
    NEAR_MISS_COUNT,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    Metric,
    read_metrics,
)
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import Lakes, disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page
from neo_assets_tests.sources.neows.slow_reader import identities

NEAR_MISSES = METRICS.of_table[NEAR_MISS_COUNT.name]

MOON = approach("0.001", "149598", "2020-01-01")
"""An approach within one lunar distance."""

FIRST, SECOND, THIRD = "00000-00000", "00001-00001", "00002-00002"

NearMisses = Counter[str]
Approaches = Counter[tuple[int, str]]


def totals(lake: Storage, page_sets: list[str]) -> tuple[NearMisses, Approaches]:
    """Both totals computed from the lake: by body, and by year and body."""
    near, yearly = (
        total(METRICS, lake, METRICS.of_table[name], page_sets).to_pylist()
        for name in (TOTAL_NEAR_MISSES.name, TOTAL_YEARLY_APPROACHES.name)
    )
    return (
        Counter({row["orbiting_body"]: row["near_misses"] for row in near}),
        Counter({(row["year"], row["orbiting_body"]): row["approaches"] for row in yearly}),
    )


def counted_by_brute_force(pages: list[Page]) -> tuple[NearMisses, Approaches]:
    """Both totals, counted object by object from the pages' JSON."""
    copies = [
        ((one.fetched_at, one.number), identities(record), record)
        for one in pages
        for record in json.loads(one.body)["near_earth_objects"]
    ]
    last = [
        record for when, same, record in copies if not any(other > when and again & same for other, again, _ in copies)
    ]
    near, yearly = NearMisses(), Approaches()
    for one in last:
        for entry in one["close_approach_data"]:
            body = entry["orbiting_body"]
            near[body] += float(entry["miss_distance"]["astronomical"]) < 0.2
            yearly[int(entry["close_approach_date"][:4]), body] += 1
    return +near, yearly


# --- any catalogue that changes while its page sets are fetched

drifts: st.SearchStrategy[Callable[[Catalogue], Catalogue]] = st.one_of(
    st.integers(1, 25).map(lambda count: lambda catalogue: catalogue.inserted(count)),
    st.integers(1, 25).map(lambda count: lambda catalogue: catalogue.grown(count)),
    st.integers(0, 99).map(lambda seed: lambda catalogue: catalogue.reordered(seed)),
    st.floats(0, 1).map(lambda share: lambda catalogue: catalogue.numbered(share)),
)


@pytest.mark.slow
def test_totals_count_every_neo_once_despite_any_drift(lakes: Lakes) -> None:
    @given(
        neos=st.integers(30, 60),
        pages_per_set=st.integers(1, 2),
        moves=st.lists(st.lists(drifts, max_size=3), min_size=1, max_size=4),
        order=st.randoms(use_true_random=False),
    )
    @settings(max_examples=lakes.examples(15))
    def they_do(neos: int, pages_per_set: int, moves: list[list[Callable[[Catalogue], Catalogue]]], order: Any) -> None:
        keys = page_set_keys(3, pages_per_set)
        fetched_in_order = [*keys, *order.choices(keys, k=2)]
        order.shuffle(fetched_in_order)
        catalogue = Catalogue(neos)
        stored: dict[str, list[Page]] = {}
        lake = lakes.new()
        for hours, key in enumerate(fetched_in_order):
            for drift in moves[hours % len(moves)]:
                catalogue = drift(catalogue)
            stored[key] = pages_from(catalogue, key, hours)
        for key, pages in stored.items():
            gather(lake, key, pages)
        assert totals(lake, keys) == counted_by_brute_force([page for pages in stored.values() for page in pages])

    they_do()


# --- by example


def approaches(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [approach(day=f"20{year:02d}-01-01", **changes) for year in range(count)]


def test_page_sets_without_common_objects_are_summed(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2)), neo("2", *approaches(3)))])
    gather(lake, SECOND, [page(neo("3", *approaches(4)), number=1)])
    near, yearly = totals(lake, [FIRST, SECOND])
    assert near == {"Earth": 9}
    assert yearly == {(2000, "Earth"): 3, (2001, "Earth"): 3, (2002, "Earth"): 2, (2003, "Earth"): 1}


@pytest.mark.parametrize(("hours", "kept"), [(1, 5), (-1, 2)])
def test_the_copy_fetched_last_counts_whichever_set_it_is_in(lake: Storage, hours: float, kept: int) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2)), neo("2", *approaches(1)))])
    gather(lake, SECOND, [page(neo("1", *approaches(5)), number=1, hours=hours)])
    near, yearly = totals(lake, [FIRST, SECOND])
    assert near.total() == yearly.total() == kept + 1


def test_an_object_numbered_in_between_counts_once(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("54428000", *approaches(2), name="(2022 AC30)"))])
    gather(lake, SECOND, [page(neo("2660000", *approaches(3), name="660000 (2022 AC30)"), number=1, hours=1)])
    assert totals(lake, [FIRST, SECOND])[0] == {"Earth": 3}


def test_objects_without_a_principal_designation_are_kept_apart(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2), name="433 Eros"), neo("2", *approaches(3), name="719 Albert"))])
    gather(lake, SECOND, [page(neo("3", *approaches(4), name="887 Alinda"), number=1, hours=1)])
    assert totals(lake, [FIRST, SECOND])[0] == {"Earth": 9}


def test_comets_of_one_discoverer_are_kept_apart(lake: Storage) -> None:
    for number, (key, comet) in enumerate({FIRST: "P/1999 R1", SECOND: "P/2003 T12", THIRD: "P/2002 S7"}.items()):
        one = neo(str(number), *approaches(1), name=f"{comet} (SOHO)", designation=comet)
        gather(lake, key, [page(one, number=number, hours=number)])
    assert totals(lake, [FIRST, SECOND, THIRD])[0] == {"Earth": 3}


def test_an_object_seen_three_times_counts_once(lake: Storage) -> None:
    for number, key in enumerate((FIRST, SECOND, THIRD)):
        gather(lake, key, [page(neo("1", *approaches(number + 1)), number=number, hours=number)])
    assert totals(lake, [FIRST, SECOND, THIRD])[0] == {"Earth": 3}


def test_the_last_copy_counts_though_its_page_set_holds_a_superseded_copy_of_another_object(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2)))])
    gather(lake, SECOND, [page(neo("1", *approaches(3)), neo("2", *approaches(1)), number=1, hours=1)])
    gather(lake, THIRD, [page(neo("2", *approaches(5)), number=2, hours=2)])
    near, yearly = totals(lake, [FIRST, SECOND, THIRD])
    assert near.total() == yearly.total() == 3 + 5


def test_a_near_miss_is_strictly_closer_where_a_page_set_is_counted_again_too(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach()), neo("2", approach("0.2"), approach("0.1999999999")))])
    gather(lake, SECOND, [page(neo("1"), number=1, hours=1)])
    near, yearly = totals(lake, [FIRST, SECOND])
    assert (near.total(), yearly.total()) == (1, 2)


def test_a_body_whose_only_near_miss_is_superseded_is_not_in_the_total(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach(body="Venus")), neo("2", approach()))])
    gather(lake, SECOND, [page(neo("1", approach()), number=1, hours=1)])
    assert total(METRICS, lake, NEAR_MISSES, [FIRST, SECOND]).to_pylist() == [
        {"orbiting_body": "Earth", "near_misses": 2}
    ]


def test_only_requested_page_sets_are_totalled(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2)))])
    gather(lake, "00000-00003", [page(neo("9", *approaches(7)), number=number, hours=9) for number in range(4)])
    gather(lake, FIRST, [page(neo("1", *approaches(2)))])
    assert totals(lake, [FIRST])[0] == {"Earth": 2}


def over_all(lake: Storage, metric: Metric, page_sets: list[str]) -> pa.Table:
    """The metric of all NEOs."""
    if metric.counts:
        return total(METRICS, lake, metric, page_sets)
    [rows] = over_catalogue(METRICS, lake, [metric], page_sets)
    return rows


def test_totals_of_no_approaches_have_no_rows(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1"))])
    for metric in METRICS.each:
        rows = over_all(lake, metric, [FIRST])
        assert rows.num_rows == 0 or "close_approaches" not in metric.reads
        assert rows.schema.remove_metadata().equals(metric.total.schema, check_metadata=True)


@pytest.mark.parametrize("metric", METRICS.each, ids=lambda metric: metric.name)
def test_totals_are_sorted(lake: Storage, metric: Metric) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2, body="Venus"), *approaches(2), *approaches(1, body="Moon")))])
    gather(lake, SECOND, [page(neo("2", *approaches(3, body="Mars"), *approaches(3), MOON), number=1)])
    keys = over_all(lake, metric, [FIRST, SECOND]).select(metric.grain).to_pylist()
    assert keys == sorted(keys, key=lambda key: tuple(key.values()))
    assert keys


@disk_and_s3
def test_a_total_carries_its_origin(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach()))])
    before = total(METRICS, lake, NEAR_MISSES, [FIRST])
    gather(lake, FIRST, [page(neo("1", approach(), approach()))])
    after = total(METRICS, lake, NEAR_MISSES, [FIRST])
    assert tables.made_from(before) != tables.made_from(after) != ""


def test_missing_close_approaches_are_named_if_they_are_needed(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", *approaches(2)))])
    gather(lake, SECOND, [page(neo("1", *approaches(5)), number=1, hours=1)])
    lake.delete(layout.table_file(CLOSE_APPROACHES, FIRST))
    with pytest.raises(LakeError, match=f"materialize close_approaches for page set {FIRST}"):
        totals(lake, [FIRST, SECOND])


def test_page_sets_that_have_counts(lake: Storage) -> None:
    with pytest.raises(LakeError, match=r"no totals to compute: .* has no near_miss_count .*; run `neo run`"):
        total(METRICS, lake, NEAR_MISSES, [FIRST, SECOND])
    gather(lake, SECOND, [page(neo("1"), number=1)])
    assert covered(lake, NEAR_MISSES, [FIRST, SECOND]) == [SECOND]


# --- metrics of the whole catalogue

OVER_CATALOGUE = [metric.total.name for metric in METRICS.over_catalogue]
PASSES = METRICS.of_table["total_lunar_distance_passes"]


@disk_and_s3
def test_metrics_of_the_whole_catalogue_are_computed_where_they_are_not_up_to_date(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", MOON))])
    assert bring_up_to_date(METRICS, lake, [FIRST]) == OVER_CATALOGUE
    assert bring_up_to_date(METRICS, lake, [FIRST]) == []
    gather(lake, SECOND, [page(neo("1", MOON), neo("2", MOON), number=1, hours=1)])
    assert bring_up_to_date(METRICS, lake, [FIRST, SECOND]) == OVER_CATALOGUE
    assert tables.read_table(lake, PASSES.total).to_pylist() == [{"year": 2020, "passes": 2}], "NEO 1 counts once"
    assert bring_up_to_date(METRICS, lake, [FIRST]) == OVER_CATALOGUE, "they cover another page set less"


def test_approaches_are_past_by_the_time_of_the_newest_page(lake: Storage) -> None:
    days = [NOON.date() + timedelta(days=days) for days in (0, 1, 2)]
    gather(lake, FIRST, [page(neo("1", *(approach("0.1", "14959787", f"{day}") for day in days)))])
    gather(lake, SECOND, [page(neo("2"), number=1, hours=24)])
    [rows] = over_catalogue(METRICS, lake, [METRICS.of_table["total_near_misses_by_time"]], [FIRST, SECOND])
    assert {row["time"]: row["near_misses"] for row in rows.to_pylist()} == {"past": 2, "predicted": 1}


def test_a_lost_or_damaged_metric_of_the_whole_catalogue_is_computed_alone(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach()))])
    bring_up_to_date(METRICS, lake, [FIRST])
    lake.delete(layout.table_file(METRICS.tables["total_first_observations"]))
    lake.write(layout.table_file(PASSES.total), b"damaged")
    assert bring_up_to_date(METRICS, lake, [FIRST]) == ["total_first_observations", PASSES.total.name]


def test_metrics_of_an_empty_lake_fail_in_one_line(lake: Storage) -> None:
    with pytest.raises(LakeError, match="holds no NEOs yet: run `neo run`"):
        bring_up_to_date(METRICS, lake, [FIRST])


NEAREST = """/*
name: nearest
description: The nearest approach to each body, with the velocity if it is known.
reads: {close_approaches: [orbiting_body, miss_distance_au, relative_velocity_km_s]}
grain:
  orbiting_body: {type: string, description: The body.}
numbers:
  miss_distance_au: {type: double, unit: au, description: Its miss distance.}
  relative_velocity_km_s: {type: double, unit: km/s, description: Its velocity., nullable: true}
adds_up: least
*/
SELECT orbiting_body, miss_distance_au, relative_velocity_km_s FROM close_approaches
"""


def test_a_row_that_is_kept_is_kept_with_its_nulls(tmp_path: Path) -> None:
    (tmp_path / "nearest.sql").write_text(NEAREST)
    [metric] = read_metrics(tmp_path)
    far, near = (
        pa.Table.from_pylist([dict(zip(metric.total.schema.names, row, strict=True))], metric.total.schema)
        for row in (("Earth", 0.2, 5.0), ("Earth", 0.1, None))
    )
    assert add_up(metric, [far, near]).to_pylist() == near.to_pylist()
