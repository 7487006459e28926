"""What each metric says of NEOs on its limits; places of percentiles."""

from typing import Any

import pytest

from neo_assets.pipeline.count import compute
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import Metric
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets_tests.pipeline.metrics.limits import EXPECTED, STORED, newest_page, rows_of, table
from neo_assets_tests.pipeline.metrics.test_metrics import each, named


@each
def test_values_on_the_limits(metrics: Metrics, metric: Metric) -> None:
    assert rows_of(compute(metrics, metric, STORED, **newest_page(metric))) == EXPECTED[metric.name]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (2, [1.05, 1.25, 1.5, 1.75, 1.95]),
        (3, [1.1, 1.5, 2.0, 2.5, 2.9]),
        (21, [2.0, 6.0, 11.0, 16.0, 20.0]),
    ],
)
def test_percentiles_of_the_first_whole_numbers(metrics: Metrics, count: int, expected: list[float]) -> None:
    """Some lie at a value, others between two."""
    columns = ["neo_id", "orbiting_body", "miss_distance_au", "relative_velocity_km_s"]
    rows: list[tuple[Any, ...]] = [("1", "Earth", float(one), float(count + 1 - one)) for one in range(1, count + 1)]
    stored = {"close_approaches": table(CLOSE_APPROACHES, columns, rows)}
    found = compute(metrics, named("approach_percentiles"), stored)
    for column in ("miss_distance_au", "relative_velocity_km_s"):
        assert found[column].to_pylist() == pytest.approx(expected)
