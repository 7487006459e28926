"""The columns of the audit, as people and query engines see them."""

import pytest

from neo_assets.schema.audit import AUDIT
from neo_assets.schema.columns import Column


@pytest.mark.parametrize("column", AUDIT.columns, ids=lambda column: column.name)
def test_every_column_is_described_and_numbers_have_a_unit(column: Column) -> None:
    assert column.description.endswith(".")
    assert bool(column.unit) == (str(column.type) in ("int64", "double") or "timestamp" in str(column.type))
