"""The check of the database passes on what was made, and fails on whatever differs from the lake."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets.products import NEO_DATABASE, PUBLISHED, REPORT, UPCOMING
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.products import OF_PRODUCTS
from neo_assets.products.views import views
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.products.by_hand import KEYS, SECOND, fill, make
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import approach, neo, page


@pytest.fixture
def made(lake: Storage) -> Storage:
    make(fill(lake))
    return lake


def verdict(lake: Storage) -> Verdict:
    [check] = (one for one in OF_PRODUCTS if one.asset == NEO_DATABASE)
    return check.verdict(lake, METRICS, KEYS)


def changed(*statements: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with duckdb.connect(str(file)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


def rewritten(file: Path) -> None:
    """The same tables in a file of DuckDB's own default version."""
    old = file.rename(file.with_suffix(".old"))
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{old}' AS old (READ_ONLY)")
        connection.execute(f"ATTACH '{file}' AS neo (STORAGE_VERSION 'latest')")
        connection.execute("COPY FROM DATABASE old TO neo")


def damaged(file: Path) -> None:
    file.write_bytes(b"x" * 5000)


@disk_and_s3
def test_it_passes_on_what_was_made(made: Storage) -> None:
    passed, figures = verdict(made)
    of_totals = sum(tables.read_table(made, total).num_rows for total in METRICS.every_total)
    assert passed
    assert figures == {"rows": 4 + 6 + of_totals, "views": len(views())}


FAULTS: dict[str, tuple[Callable[[Path], None], dict[str, str]]] = {
    "a NEO is lost": (changed("DELETE FROM neos WHERE id = '1'"), {"rows of neos": "3 instead of 4"}),
    "an approach is doubled": (
        changed("INSERT INTO close_approaches FROM close_approaches LIMIT 1"),
        {"rows of close_approaches": "7 instead of 6"},
    ),
    "a NEO has the place of another": (
        changed("UPDATE neos SET id = '3' WHERE id = '1'"),
        {"neos": "other rows than in the lake"},
    ),
    "an approach is lost and another doubled": (
        changed(
            "DELETE FROM close_approaches WHERE neo_id = '1'",
            "INSERT INTO close_approaches FROM close_approaches WHERE neo_id = '2' LIMIT 1",
        ),
        {"close_approaches": "other rows than in the lake"},
    ),
    "two numbers of a total are swapped": (
        changed("UPDATE total_near_misses SET near_misses = 5 - near_misses"),
        {"total_near_misses": "other rows than in the lake"},
    ),
    "a total is empty": (changed("DELETE FROM total_near_misses"), {"rows of total_near_misses": "0 instead of 2"}),
    "a column is not described": (
        changed("DELETE FROM dictionary WHERE table_name = 'by_decade' AND column_name = 'decade'"),
        {"columns that the dictionary lacks": "1"},
    ),
    "a view does not work": (changed("ALTER TABLE neos DROP sentry_url"), {"cannot be read": "sentry_url"}),
    "it is for newer versions only": (rewritten, {"storage version": "instead of v1.4.0"}),
    "it is damaged": (damaged, {"cannot be read": "not a valid DuckDB database file"}),
    "it is missing": (Path.unlink, {"cannot be read": "is missing"}),
}


@pytest.mark.parametrize(("fault", "shown"), FAULTS.values(), ids=FAULTS)
def test_it_fails_on_a_fault(made: Storage, fault: Callable[[Path], None], shown: dict[str, str]) -> None:
    fault(Path(made.root) / "products/neo.duckdb")
    passed, figures = verdict(made)
    assert not passed
    assert figures.keys() == shown.keys()
    for name, text in shown.items():
        assert text in str(figures[name])


def test_page_sets_that_changed_since_are_not_compared(made: Storage) -> None:
    gather(made, SECOND, [page(neo("4", approach()), number=1, hours=2)])
    passed, figures = verdict(made)
    assert passed
    assert "not checked" in figures


@pytest.mark.parametrize(("postgres_url", "published"), [(None, set()), ("postgresql://db/neo", {PUBLISHED})])
def test_each_product_that_is_made_has_a_check_which_runs_alone(
    made: Storage, postgres_url: str | None, published: set[str]
) -> None:
    values = {"postgres_url": postgres_url} if postgres_url else {}
    defs = build_defs(settings_of(lake=made.root, pages=2, pages_per_set=1, **values))
    of = {key.asset_key.to_user_string(): key for key in defs.resolve_asset_graph().asset_check_keys}
    assert of.keys() & {NEO_DATABASE, UPCOMING, REPORT, PUBLISHED} == {NEO_DATABASE, UPCOMING, REPORT} | published
    with dg.DagsterInstance.ephemeral() as instance:
        result = alone(defs, [of[NEO_DATABASE]]).execute_in_process(instance=instance)
    assert [(one.check_name, one.passed) for one in result.get_asset_check_evaluations()] == [
        ("database_is_whole", True)
    ]
