"""The check of the published tables passes on what was published, and fails on whatever differs from the lake."""

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.products import PUBLISHED
from neo_assets.orchestration.checks.check import Check, Verdict
from neo_assets.orchestration.checks.published import postgres_shows_the_snapshot
from neo_assets.products.postgres import Postgres
from neo_assets.products.views import views
from neo_assets_tests.pipeline.by_hand import METRICS, gather, total
from neo_assets_tests.postgres_server import PASSWORD, PostgresServer, run
from neo_assets_tests.products.by_hand import KEYS, SECOND, contents, fill
from neo_assets_tests.sources.neows.examples import neo, page


@pytest.fixture
def url(postgres_server: PostgresServer, lake: Storage) -> str:
    """A database to which the lake was published."""
    url = postgres_server.new_database()
    Postgres(url).publish(contents(fill(lake)))
    return url


def verdict(lake: Storage, url: str) -> Verdict:
    return Check(PUBLISHED, postgres_shows_the_snapshot).verdict(lake, METRICS, KEYS, Postgres(url))


def test_it_passes_on_what_was_published(url: str, lake: Storage) -> None:
    passed, figures = verdict(lake, url)
    assert passed
    assert figures["views"] == len(views())
    assert figures["snapshot"] == contents(lake).snapshot["snapshot_id"][0].as_py()
    assert figures["rows"] == 4 + 6 + sum(rows.num_rows for rows in contents(lake).totals.values())


FAULTS = {
    "a NEO is lost": ("DELETE FROM neo.neos WHERE id = '1'", {"rows of neos": "3 instead of 4"}),
    "an approach is doubled": (
        "INSERT INTO neo.close_approaches SELECT * FROM neo.close_approaches LIMIT 1",
        {"rows of close_approaches": "7 instead of 6"},
    ),
    "a total is empty": ("DELETE FROM neo.total_near_misses", {"rows of total_near_misses": "0 instead of 2"}),
    "it is another snapshot": ("UPDATE neo.snapshot SET snapshot_id = 'x'", {"snapshot": "x instead of "}),
    "a comment is lost": (
        "COMMENT ON COLUMN neo.by_decade.decade IS NULL",
        {"columns without a comment": "1 instead of"},
    ),
    "a view is lost": ("DROP VIEW neo.by_decade", {"cannot be read": "by_decade"}),
    "all is lost": ("DROP SCHEMA neo CASCADE", {"cannot be read": "neo"}),
}


@pytest.mark.parametrize(("fault", "shown"), FAULTS.values(), ids=FAULTS)
def test_it_fails_on_whatever_differs(url: str, lake: Storage, fault: str, shown: dict[str, str]) -> None:
    run(url, fault)
    passed, figures = verdict(lake, url)
    assert not passed
    assert figures.keys() == shown.keys()
    for name, value in shown.items():
        assert value in str(figures[name])


def test_a_former_snapshot_fails_and_is_mended_by_publishing(url: str, lake: Storage) -> None:
    gather(lake, SECOND, [page(neo("3"), neo("4"), number=1, hours=2)])
    assert verdict(lake, url) == (
        True,
        {"not checked": "page sets have changed since; it is published again after the totals"},
    )
    total(lake, KEYS)
    passed, figures = verdict(lake, url)
    assert not passed
    assert "snapshot" in figures
    Postgres(url).publish(contents(lake))
    assert verdict(lake, url)[0]


def test_a_server_that_is_gone_fails_without_the_password(url: str, lake: Storage) -> None:
    passed, figures = verdict(lake, f"postgresql://admin:{PASSWORD}@127.0.0.1:9/neo")
    assert not passed
    assert PASSWORD not in str(figures)
