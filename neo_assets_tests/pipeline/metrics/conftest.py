"""The engines, which the tests of this folder run one after the other."""

from collections.abc import Iterator

import pytest

from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets_tests.sail import serving_sail


@pytest.fixture(scope="module")
def sail() -> Iterator[Metrics]:
    """The metrics, computed by Sail."""
    with serving_sail() as address:
        yield Metrics(Spark(address))


@pytest.fixture(params=["duckdb", "sail"])
def metrics(request: pytest.FixtureRequest) -> Metrics:
    """The metrics, computed by each engine."""
    return Metrics(DuckDB()) if request.param == "duckdb" else request.getfixturevalue("sail")
