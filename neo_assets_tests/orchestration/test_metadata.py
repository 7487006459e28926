"""Metadata of a table's asset: every column of the schema, with its unit."""

import dagster as dg
import pytest

from neo_assets.orchestration.metadata import table_metadata
from neo_assets.schema.tables import CLOSE_APPROACHES, TABLES, Table


def shown(table: Table) -> list[dg.TableColumn]:
    schema = table_metadata(table)["dagster/column_schema"]
    return list(getattr(schema, "schema", schema).columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_column_is_shown_in_order_with_its_type_and_nullability(table: Table) -> None:
    assert [(c.name, c.type, c.constraints.nullable) for c in shown(table)] == [
        (field.name, str(field.type), field.nullable) for field in table.schema
    ]


def test_a_unit_is_part_of_the_description_and_a_tag() -> None:
    by_name = {column.name: column for column in shown(CLOSE_APPROACHES)}
    distance = by_name["miss_distance_au"]
    assert distance.description is not None
    assert "[au]" in distance.description
    assert "miss_distance.astronomical" in distance.description
    assert distance.tags == {"unit": "au"}
    assert "unit" not in by_name["neo_id"].tags
