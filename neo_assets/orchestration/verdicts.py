"""The asset checks judged anew, outside of a run: what fails in the lake as it is now, whatever was recorded before.
What the checks judge lives in `checks`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.page_set import of_a_page_set, of_landed_objects
from neo_assets.orchestration.checks.products import database_is_whole
from neo_assets.orchestration.checks.read import Read
from neo_assets.orchestration.checks.totals import Stored, no_page_is_too_old, of_catalogue, of_totals
from neo_assets.pipeline.catalogue import page_sets_read
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import pairs
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CATALOGUE_STATS
from neo_assets.settings import Settings

_DATABASE = Check("neo_database", database_is_whole)


@dataclass(frozen=True)
class Judged:
    """One check and its verdict, on a page set or on the whole lake."""

    check: str
    """The asset and the check, such as `neo_records every_neo_is_read_once`."""
    page_set: str | None
    is_error: bool
    """Whether a failure is an error, and not a warning."""
    passed: bool
    figures: str
    """The figures behind the verdict, in one line."""


def judge(lake: Storage, metrics: Metrics, settings: Settings) -> Iterator[Judged]:
    """Judge what the lake holds: each page set, the landed objects, the totals and the snapshot, the database.

    Nothing is recorded. Whether pages are too old is not judged, as that depends on the time; nor is whether NeoWs is
    in order, as that says nothing of the data.

    Raises:
        LakeError: the lake cannot be read.
    """
    page_sets = settings.page_sets
    for key in page_sets_read(lake, page_sets):
        read = Read(lake, key)
        checks = of_landed_objects(metrics) if key == LANDED else of_a_page_set(metrics)
        yield from _judged(((check, check.verdict(read, key)) for check in checks), key)
    stored = Stored(lake, metrics, page_sets, settings.raw_max_age_hours)
    of_whole = [check for check in (*of_totals(metrics), *of_catalogue(metrics)) if _concerns(stored, check)]
    yield from _judged((check, stored.verdict(check)) for check in of_whole)
    yield from _judged([(_DATABASE, _DATABASE.verdict(lake, metrics, page_sets))])


def _concerns(stored: Stored, check: Check) -> bool:
    """Whether a check is about what is stored. NeoWs's own counts are optional; a damaged file of them is wrong."""
    if check.asset == CATALOGUE_STATS.name:
        try:
            stored.read(CATALOGUE_STATS)
        except LakeLacks:
            return False
        except LakeDamaged:
            return True
    return check.judge is not no_page_is_too_old


def _judged(verdicts: Iterable[tuple[Check, Verdict]], page_set: str | None = None) -> Iterator[Judged]:
    for check, (passed, figures) in verdicts:
        is_error = check.severity is dg.AssetCheckSeverity.ERROR
        yield Judged(f"{check.asset} {check.key.name}", page_set, is_error, passed, pairs(figures))


def failing(judged: Sequence[Judged], errors: bool) -> dict[str, list[Judged]]:
    """The failures by check: those that are errors, or those that are warnings."""
    found: dict[str, list[Judged]] = {}
    for one in judged:
        if not one.passed and one.is_error is errors:
            found.setdefault(one.check, []).append(one)
    return found
