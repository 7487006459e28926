"""The dictionary has a row for every column of every table and view, with its type, unit, source and meaning."""

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.views import views
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.products.by_hand import rows

WHOLE = Dictionary(METRICS.every_total)


def test_it_has_every_column_in_order(shared: Storage) -> None:
    columns = rows(shared, "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal")
    described = rows(shared, "SELECT table_name, column_name, type FROM dictionary")
    assert sorted(described) == sorted(columns)
    shown = list(dict.fromkeys(table for table, _, _ in described))
    assert shown[:2] == ["neos", "close_approaches"]
    assert shown == [*WHOLE.tables, *sorted(views())]


def test_every_column_has_a_meaning_which_is_its_comment_too(shared: Storage) -> None:
    found = rows(
        shared,
        "SELECT meaning, unit, comment FROM dictionary JOIN duckdb_columns() USING (table_name, column_name) "
        "WHERE NOT internal",
    )
    assert len(found) == rows(shared, "SELECT count(*) FROM dictionary")[0][0]
    for meaning, unit, comment in found:
        assert meaning.endswith(".")
        assert comment == meaning + (f" Unit: {unit}." if unit else "")


def test_numbers_that_are_measured_have_a_unit(shared: Storage) -> None:
    assert rows(shared, "SELECT DISTINCT column_name FROM dictionary WHERE type = 'DOUBLE' AND unit = ''") == []


def test_a_view_says_what_it_computes_and_hands_on_what_it_reads() -> None:
    computed = WHOLE.meaning_of("approaches", "miss_distance_ld")
    assert (computed.unit, computed.source) == ("LD", "")
    handed_on = WHOLE.meaning_of("fastest", "absolute_magnitude_h")
    assert handed_on == WHOLE.meaning_of("neos", "absolute_magnitude_h")
    assert handed_on.source.endswith("absolute_magnitude_h")


def test_meanings_name_no_table_that_the_database_lacks(shared: Storage) -> None:
    lake_only = "neo_records|raw_page|near_miss_count|orbits"
    assert rows(shared, f"SELECT meaning FROM dictionary WHERE regexp_matches(meaning, '`?({lake_only})')") == []
    assert WHOLE.meaning_of("fastest", "neo_id").description == "The NEO's id, `id` in the table of NEOs."


@pytest.mark.parametrize("relation", ["neos", "fastest", "nothing"])
def test_a_column_that_nothing_explains_is_an_error(relation: str) -> None:
    with pytest.raises(KeyError, match="no meaning"):
        WHOLE.meaning_of(relation, "shoe_size")


def test_a_header_describes_no_column_that_its_view_lacks(shared: Storage) -> None:
    found = set(rows(shared, "SELECT table_name, column_name FROM dictionary"))
    assert {(view.name, column) for view in views().values() for column in view.columns} <= found
