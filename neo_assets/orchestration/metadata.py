"""Metadata that Dagster's UI shows for every asset: owners and columns. The columns are defined in `schema.tables`."""

from typing import Any

import dagster as dg

from neo_assets.schema.tables import Table

OWNERS = ["team:neo-data"]


def table_metadata(table: Table) -> dict[str, Any]:
    """Definition metadata of a table's asset: its columns with type, description, unit and source."""
    columns = [
        dg.TableColumn(
            column.name,
            type=str(column.type),
            description=" ".join(
                filter(
                    None,
                    [column.description, column.unit and f"[{column.unit}]", column.source and f"({column.source})"],
                )
            ),
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
            tags={"unit": column.unit} if column.unit else None,
        )
        for column in table.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}
