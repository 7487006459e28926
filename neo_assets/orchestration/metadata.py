"""What Dagster's UI shows of assets: owners, columns, page sets, freshness, first rows, charts. `schema.tables` defines
the columns; `pipeline.charts` draws.
"""

import base64
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.pipeline import charts
from neo_assets.pipeline.staleness import too_old_after
from neo_assets.schema.columns import Column, Table
from neo_assets.schema.page_sets import pages_of

OWNERS = ["team:neo-data"]

_FROM_WARNING_TO_FAILURE = timedelta(days=5)
"""How long after its freshness policy warns an asset fails it."""

_PREVIEWED = 10
"""Rows in the preview of a table."""


def described(table: Table, group: str, *kinds: str) -> dict[str, Any]:
    """What the asset of a table says about itself, as arguments of `dg.asset` or `dg.AssetOut`."""
    return {
        "description": table.description,
        "group_name": group,
        "owners": OWNERS,
        "kinds": set(kinds),
        "metadata": table_metadata(table),
    }


def table_metadata(table: Table) -> dict[str, Any]:
    """Definition metadata of a table's asset: its columns with type, unit, description and source."""
    columns = [
        dg.TableColumn(
            column.name,
            type=str(column.type),
            description=f"{column.description} (From {_path(column)}.)" if column.source else column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
            tags={"unit": column.unit} if column.unit else None,
        )
        for column in table.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def _path(column: Column) -> str:
    """A column's path in the JSON of a NEO, in words short enough for the UI to break the line between them."""
    return column.source.removeprefix("near_earth_objects[].").replace(".", " › ")


def with_page_sets(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Add to a partitioned asset's description what its partition keys mean."""
    if not spec.partitions_def:
        return spec
    key = spec.partitions_def.get_first_partition_key()
    first, last = pages_of(str(key))[0], pages_of(str(key))[-1]
    pages = f"page {first}" if first == last else f"pages {first} to {last}"
    meaning = "Partitions are page sets, named after their first and last Browse page: "
    example = f"`{key}` holds {pages}."
    return spec.replace_attributes(description=f"{spec.description}\n\n{meaning}{example}")


def freshness(max_age_hours: float) -> dg.FreshnessPolicy:
    """The freshness policy of an asset that is made again every day, if pages younger than `max_age_hours` are reused.

    Dagster judges by the latest materialization of any page set; the asset check `no_page_is_too_old` judges by all.
    """
    warn = too_old_after(max_age_hours)
    return dg.FreshnessPolicy.time_window(fail_window=warn + _FROM_WARNING_TO_FAILURE, warn_window=warn)


def preview(rows: pa.Table) -> dg.TableMetadataValue:
    """The first rows of a table."""
    records = [
        dg.TableRecord({name: _shown(value) for name, value in row.items()})
        for row in rows.slice(0, _PREVIEWED).to_pylist()
    ]
    columns = [dg.TableColumn(field.name, type=str(field.type)) for field in rows.schema]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def chart(numbers: dict[str, int], title: str) -> dg.MarkdownMetadataValue:
    """A bar chart, which the UI shows as an image."""
    image = base64.b64encode(charts.bars(numbers, title).encode()).decode()
    return dg.MetadataValue.md(f"![{charts.described(numbers, title)}](data:image/svg+xml;base64,{image})")


def _shown(value: Any) -> str | int | float | bool:
    if value is None:
        return ""
    return value if isinstance(value, str | int | float | bool) else str(value)
