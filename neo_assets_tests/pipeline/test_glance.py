"""The lake at a glance: what it shows after each step of a refresh, and what is read again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout, owner, raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import audit
from neo_assets.pipeline.glance import Looks
from neo_assets.pipeline.quarantine import discard, quarantined
from neo_assets.schema.audit import FAILED, PROCESSING, RUN, SUCCESS
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import SIMULATOR
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from
from neo_assets_tests.sources.neows.examples import neo, page

FIRST, SECOND = KEYS = page_set_keys(4, 2)
NOW = datetime.now(UTC)


def looks_at(lake: Storage, max_age_hours: float = 24) -> Looks:
    return Looks(lake, METRICS.of_a_page_set, KEYS, max_age_hours)


def fill(lake: Storage, key: str, age: timedelta = timedelta(0)) -> None:
    """Gather a page set, and compute its tables."""
    pages = pages_from(Catalogue(), key)
    gather(lake, key, [replace(one, fetched_at=NOW - age) for one in pages])


def ran(lake: Storage, name: str, status: str, at: datetime = NOW) -> None:
    """Record a run in the audit."""
    known = {"run_id": name, "job": "page_set", "kind": RUN, "launched_by": "a test", "account": "somebody@here"}
    audit.write(lake, name, at, [known | {"status": status, "queued_at": at, "started_at": at}])


@disk_and_s3
def test_it_follows_a_refresh(lake: Storage) -> None:
    looks = looks_at(lake)
    empty = looks.look()
    assert (empty.source, empty.pages_stored, empty.page_sets_done, empty.oldest_page_at) == (None, 0, 0, None)

    owner.claim(lake, SIMULATOR)
    raw_pages.write_page(lake, replace(pages_from(Catalogue(), FIRST)[0], fetched_at=NOW))
    one_page = looks.look()
    assert (one_page.source, one_page.pages_stored, one_page.pages_fresh, one_page.page_sets_done) == (
        SIMULATOR,
        1,
        1,
        0,
    )

    fill(lake, FIRST, timedelta(hours=1))
    fill(lake, SECOND)
    done = looks.look()
    assert (done.pages_stored, done.page_sets_done, done.quarantined) == (4, 2, 0)
    assert (done.oldest_page_at, done.newest_page_at) == (NOW - timedelta(hours=1), NOW)

    lake.delete(layout.table_file(METRICS.counts[0], SECOND))
    assert looks.look().page_sets_done == 1
    gather(lake, FIRST, pages_from(Catalogue(), FIRST)[:1])
    assert looks.look().page_sets_done == 0, "its index lists one page"


def test_a_page_set_whose_pages_are_too_old_is_not_done(lake: Storage) -> None:
    fill(lake, FIRST, timedelta(hours=5))
    assert looks_at(lake, 6).look().page_sets_done == 1
    assert looks_at(lake, 4).look().page_sets_done == 0
    assert looks_at(lake, 1e300).look().page_sets_done == 1


@disk_and_s3
def test_records_that_were_given_up_are_not_counted(lake: Storage) -> None:
    bad = neo("7", is_potentially_hazardous_asteroid="perhaps")
    gather(lake, FIRST, [page(neo("1"), bad), page(neo("2"), number=1)])
    looks = looks_at(lake)
    assert looks.look().quarantined == 1
    discard(lake, quarantined(lake, KEYS), "a test")
    assert looks.look().quarantined == 0


@disk_and_s3
def test_runs_are_those_of_the_last_day(lake: Storage) -> None:
    looks = looks_at(lake)
    ran(lake, "old", SUCCESS, NOW - timedelta(hours=25))
    ran(lake, "yesterday", FAILED, NOW - timedelta(hours=23))
    ran(lake, "now", PROCESSING)
    assert [(row["run_id"], row["status"]) for row in looks.look().runs] == [("now", PROCESSING), ("yesterday", FAILED)]
    ran(lake, "now", SUCCESS)
    lake.delete(layout.audit((NOW - timedelta(hours=23)).date(), "yesterday"))
    assert [(row["run_id"], row["status"]) for row in looks.look().runs] == [("now", SUCCESS)]


def test_a_damaged_file_is_no_end(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    fill(lake, FIRST)
    looks = looks_at(lake)
    assert looks.look().page_sets_done == 1
    lake.write(layout.table_file(METRICS.counts[0], FIRST), b"damaged")
    lake.write(layout.audit(NOW.date(), "damaged"), b"damaged")
    damaged = looks.look()
    assert (damaged.page_sets_done, list(damaged.runs)) == (0, [])
    assert looks.look() == damaged
    assert caplog.text.count("is damaged") == 1, "it is said once"


@contextmanager
def counted(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths of the files that are read."""
    read: list[str] = []
    with monkeypatch.context() as patched:
        for name in ("read", "read_tail"):
            original = getattr(lake, name)

            def noted(path: str, *size: int, original: Callable[..., object] = original) -> object:
                read.append(path)
                return original(path, *size)

            patched.setattr(lake, name, noted)
        yield read


def test_only_what_has_changed_is_read(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.claim(lake, SIMULATOR)
    for key in KEYS:
        fill(lake, key)
    ran(lake, "run", SUCCESS)
    looks = looks_at(lake)
    looks.look()
    with counted(lake, monkeypatch) as read:
        looks.look()
    assert set(read) <= {layout.SOURCE_MARK, layout.INCIDENTS}
    changed = layout.table_file(METRICS.counts[0], SECOND)
    lake.write(changed, lake.read(changed))
    with counted(lake, monkeypatch) as read:
        assert looks.look().page_sets_done == 2
    assert set(read) == {layout.SOURCE_MARK, layout.INCIDENTS, changed}
