"""The check of the report passes on what was made, and fails on whatever differs from the lake."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.report import report_shows_the_snapshot
from neo_assets.products import index, report
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.products.by_hand import KEYS, SECOND, fill, make
from neo_assets_tests.sources.neows.examples import approach, neo, page

HTML, CSV = "products/report.html", "products/report.csv"


@pytest.fixture
def made(lake: Storage) -> Storage:
    make(fill(lake))
    report.make(lake, datetime.now(UTC).date())
    return lake


def verdict(lake: Storage) -> Verdict:
    return report_shows_the_snapshot(lake, METRICS, KEYS)


def without(part: bytes, end: bytes) -> Callable[[bytes], bytes]:
    """Loses the first part of a file that begins and ends like this."""

    def lose(data: bytes) -> bytes:
        before, _, after = data.partition(part)
        return before + after.partition(end)[2]

    return lose


def replaced(old: bytes, new: bytes, times: int = -1) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, times)


def swapped(data: bytes) -> bytes:
    head, first, second, *rest = data.split(b"\n")
    return b"\n".join([head, second, first, *rest])


@disk_and_s3
def test_it_passes_on_what_was_made(made: Storage) -> None:
    passed, figures = verdict(made)
    assert passed
    assert figures["NEOs"] == 4
    assert figures["charts"] >= 8


FAULTS: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "it is of another state": (
        HTML,
        replaced(b'name="snapshot" content="', b'name="snapshot" content="0'),
        "snapshot",
    ),
    "it has another verdict": (
        HTML,
        replaced(b'content="drifted"', b'content="consistent"'),
        "verdict",
    ),
    "it hides that it is simulated": (
        HTML,
        replaced(b'content="simulator"', b'content="nasa"'),
        "source",
    ),
    "a chart is lost": (HTML, without(b"<svg", b"</svg>"), "charts"),
    "a chart has no alternative text": (HTML, replaced(b"aria-label=", b"data-label=", 5), "charts"),
    "the page is cut off": (HTML, lambda data: data[: len(data) // 2], "charts"),
    "a NEO is lost": (CSV, lambda data: data[: data.rstrip().rindex(b"\n")], "report.csv"),
    "a NEO is there twice": (CSV, lambda data: data + data.splitlines(keepends=True)[-1], "report.csv"),
    "NEOs are in another order": (CSV, swapped, "report.csv"),
    "a NEO has another id": (CSV, replaced(b'"10"', b'"11"', 1), "report.csv"),
    "the table has no ids": (CSV, replaced(b"neo_id", b"id", 1), "report.csv"),
    "the table is empty": (CSV, lambda _: b"", "report.csv"),
}


@pytest.mark.parametrize(("path", "fault", "shown"), FAULTS.values(), ids=FAULTS)
def test_it_fails_on_a_fault(made: Storage, path: str, fault: Callable[[bytes], bytes], shown: str) -> None:
    data = bytes(made.read(path))
    assert fault(data) != data
    made.write(path, fault(data))
    passed, figures = verdict(made)
    assert not passed
    assert list(figures) == [shown]


@pytest.mark.parametrize("path", [HTML, CSV])
def test_it_fails_if_a_file_is_missing(made: Storage, path: str) -> None:
    made.delete(path)
    assert verdict(made) == (False, {"cannot be read": "a file is missing"})


def test_a_catalogue_that_changed_since_is_not_compared(made: Storage) -> None:
    gather(made, SECOND, [page(neo("4", approach()), number=1, hours=2)])
    passed, figures = verdict(made)
    assert passed
    assert figures.keys() == {"not checked"}


@pytest.mark.parametrize("file", [report.PAGE, report.TABLE])
def test_a_report_of_a_former_database_is_not_compared(made: Storage, file: str) -> None:
    index.store(made, file, made.read(layout.product(file)), "another", index.read(made)[file].rows)
    passed, figures = verdict(made)
    assert passed
    assert figures.keys() == {"not checked"}
