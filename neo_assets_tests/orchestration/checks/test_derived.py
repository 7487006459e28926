"""The rules of a column, at their edges. Rows that break them are stored in `test_fault_matrix`."""

from typing import Any

import pyarrow as pa
import pytest

from neo_assets.orchestration.checks.derived import broken_rules
from neo_assets.schema.columns import Column, Table

TABLE = Table(
    "orbits",
    "Some orbits.",
    (
        Column("id", pa.string(), "The NEO."),
        Column("inclination_deg", pa.float64(), "Inclination.", "deg", nullable=True, minimum=0, maximum=180),
        Column("period_days", pa.float64(), "Period.", "d", nullable=True, above=0),
    ),
    key=("id",),
)


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        ({"id": "1", "inclination_deg": 0.0, "period_days": 0.1}, {}),
        ({"id": "1", "inclination_deg": 180.0}, {}),
        ({"id": "1", "inclination_deg": 180.5}, {"orbits.inclination_deg is above 180": 1}),
        ({"id": "1", "inclination_deg": -0.5}, {"orbits.inclination_deg is below 0": 1}),
        ({"id": "1", "period_days": 0.0}, {"orbits.period_days is not above 0": 1}),
        ({"id": "1", "period_days": float("inf")}, {"orbits.period_days is not finite": 1}),
        ({"inclination_deg": 1.0}, {"orbits.id is null": 1}),
    ],
)
def test_a_row_keeps_the_rules_of_its_columns(row: dict[str, Any], broken: dict[str, int]) -> None:
    assert broken_rules(TABLE, pa.Table.from_pylist([row], schema=TABLE.schema)) == broken


def test_keys_are_unique() -> None:
    rows = pa.Table.from_pylist([{"id": "1"}, {"id": "1"}, {"id": "2"}], schema=TABLE.schema)
    assert broken_rules(TABLE, rows) == {"orbits: id repeated": 1}
