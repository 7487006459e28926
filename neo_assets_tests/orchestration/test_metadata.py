"""Metadata of a table's asset: every column of the schema, with its unit."""

from datetime import date

import dagster as dg
import pyarrow as pa
import pytest

from neo_assets.orchestration.metadata import preview, table_metadata, with_page_sets
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import CLOSE_APPROACHES, TABLES


def shown(table: Table) -> list[dg.TableColumn]:
    schema = table_metadata(table)["dagster/column_schema"]
    return list(getattr(schema, "schema", schema).columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_column_is_shown_in_order_with_its_type_and_nullability(table: Table) -> None:
    assert [(c.name, c.type, c.constraints.nullable) for c in shown(table)] == [
        (field.name, str(field.type), field.nullable) for field in table.schema
    ]


def test_a_unit_is_a_tag_and_the_description_does_not_repeat_it() -> None:
    by_name = {column.name: column for column in shown(CLOSE_APPROACHES)}
    velocity = by_name["relative_velocity_km_s"]
    assert velocity.tags == {"unit": "km/s"}
    assert velocity.description == (
        "Velocity relative to the orbiting body. "
        "(From close_approach_data[] › relative_velocity › kilometers_per_second.)"
    )
    assert "unit" not in by_name["neo_id"].tags


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_no_word_of_a_description_is_too_long_for_its_column(table: Table) -> None:
    """Dagster's UI breaks lines at spaces only, so a whole JSON path would run out of the column."""
    for column in shown(table):
        assert max(map(len, (column.description or "").split())) <= 40, column.name


@pytest.mark.parametrize(("key", "pages"), [("00000-00049", "pages 0 to 49"), ("00007-00007", "page 7")])
def test_a_partitioned_asset_says_what_its_keys_mean(key: str, pages: str) -> None:
    spec = dg.AssetSpec("a", description="Rows.", partitions_def=dg.StaticPartitionsDefinition([key, "00050-00099"]))
    assert with_page_sets(spec).description == (
        f"Rows.\n\nPartitions are page sets, named after their first and last Browse page: `{key}` holds {pages}."
    )
    whole = dg.AssetSpec("a", description="Rows.")
    assert with_page_sets(whole).description == "Rows."


def test_a_preview_shows_ten_rows_whatever_their_types() -> None:
    day = date(2026, 3, 1)
    rows = pa.table({"id": [str(number) for number in range(12)], "day": [day, None] * 6, "au": [0.5] * 12})
    shown = preview(rows)
    assert [record.data["id"] for record in shown.records] == [str(number) for number in range(10)]
    assert [record.data["day"] for record in shown.records][:2] == ["2026-03-01", ""]
    assert [column.type for column in shown.schema.columns] == ["string", "date32[day]", "double"]


def test_a_preview_of_no_rows_shows_the_columns() -> None:
    shown = preview(pa.table({"id": pa.array([], pa.string())}))
    assert (shown.records, [column.name for column in shown.schema.columns]) == ([], ["id"])
