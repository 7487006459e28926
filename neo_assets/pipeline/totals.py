"""The totals of a lake as one object, which `neo run` and `neo totals` print. Computing them lives in `count`."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.lake.owner import source_of
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.count import superseded
from neo_assets.pipeline.metrics.engine import Engine
from neo_assets.pipeline.origins import origin_of_total
from neo_assets.schema.page_sets import with_landed
from neo_assets.schema.tables import (
    NEO_SIGHTINGS,
    TOTAL_NEAR_MISSES,
    TOTAL_YEARLY_APPROACHES,
    TOTALS,
    YEARLY_APPROACHES,
)

EARTH = "Earth"


@dataclass(frozen=True)
class Totals:
    """The totals of a lake, each NEO counted once. A near miss is closer than 0.2 au; 0.2 itself is not one."""

    source: str
    lake: str
    pages: int
    catalogue_pages: int
    """Number of pages in the whole catalogue, according to the page fetched last."""
    page_sets: int
    page_sets_expected: int
    neos: int
    near_misses: int
    near_misses_earth: int
    approaches: int
    approaches_earth: int
    years: int
    first_year: int | None
    last_year: int | None
    verdict: str
    """`consistent`, `drifted` or `incomplete`: whether the lake holds a single state of the catalogue."""
    reasons: list[str]
    up_to_date: bool
    """Whether the totals were computed from the page sets' current counts."""


def read_totals(lake: Storage, engine: Engine, page_sets: Sequence[str]) -> Totals:
    """Read the totals stored in the lake. Nothing is computed again.

    Args:
        lake: the lake.
        engine: finds superseded copies of NEOs.
        page_sets: the requested page sets.

    Raises:
        LakeError: there are no totals yet.
    """
    near = tables.read_table(lake, TOTAL_NEAR_MISSES)
    yearly = tables.read_table(lake, TOTAL_YEARLY_APPROACHES)
    counted = tables.stored_page_sets(lake, YEARLY_APPROACHES, with_landed(page_sets))
    sightings = tables.read_page_sets(lake, NEO_SIGHTINGS, counted)
    snapshot = Snapshot(lake, engine, page_sets)
    years = pc.min_max(yearly["year"])
    up_to_date = bool(counted) and not are_stale(lake, page_sets)
    return Totals(
        source=source_of(lake) or "unknown",
        lake=lake.root,
        pages=snapshot.pages,
        catalogue_pages=snapshot.catalogue_pages,
        page_sets=len(set(counted).intersection(page_sets)),
        page_sets_expected=len(page_sets),
        neos=pc.sum(sightings["is_counted"], min_count=0).as_py() - superseded(engine, sightings).num_rows,
        near_misses=_sum(near, "near_misses"),
        near_misses_earth=_sum(_earth(near), "near_misses"),
        approaches=_sum(yearly, "approaches"),
        approaches_earth=_sum(_earth(yearly), "approaches"),
        years=pc.count_distinct(yearly["year"]).as_py(),
        first_year=years["min"].as_py(),
        last_year=years["max"].as_py(),
        verdict=snapshot.verdict if up_to_date else "incomplete",
        reasons=[
            *([] if up_to_date else ["totals are out of date"]),
            *(f"{finding.reason}: {finding.count}" for finding in snapshot.findings),
        ],
        up_to_date=up_to_date,
    )


def are_stale(lake: Storage, page_sets: Sequence[str]) -> bool:
    """Whether a total is missing or was computed from other counts; False while no page set has counts."""
    for total, partial in TOTALS.items():
        counted = tables.stored_page_sets(lake, partial, with_landed(page_sets))
        counts, sightings = (
            tables.made_from(tables.read_page_sets(lake, table, counted)) for table in (partial, NEO_SIGHTINGS)
        )
        try:
            made_from = tables.made_from(tables.read_table(lake, total))
        except (LakeLacks, LakeDamaged):
            made_from = ""
        if counted and made_from != origin_of_total(total, counted, counts, sightings):
            return True
    return False


def _earth(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["orbiting_body"], EARTH))


def _sum(rows: pa.Table, column: str) -> int:
    return pc.sum(rows[column], min_count=0).as_py() or 0
