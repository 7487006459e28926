"""The metrics of a lake together with the engine that runs their SQL. Each engine is a module of its own; what is asked
of engines stands in `contract`, and which metrics there are is decided in `registry`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Self

from neo_assets.pipeline.metrics.contract import Engine
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.registry import BUILT_IN, Metric, of_one_s_own
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets.pipeline.origins import FROM_PAGES
from neo_assets.schema.columns import Table
from neo_assets.schema.tables import TABLES
from neo_assets.settings import Settings


class Metrics:
    """The metrics of a lake, and the engine that computes them."""

    def __init__(self, engine: Engine, each: Sequence[Metric] = BUILT_IN) -> None:
        """
        Args:
            engine: runs their SQL.
            each: the metrics.
        """
        self.run, self.choose, self.each = engine.run, engine.choose, each

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The metrics and the engine that the settings name.

        Raises:
            SettingsError: a file in the folder of NEO_METRICS is wrong, or the engine lacks something.
        """
        return cls(ENGINES[settings.engine](settings), [*BUILT_IN, *of_one_s_own(settings.metrics)])

    @cached_property
    def of_table(self) -> Mapping[str, Metric]:
        """The metric of each table of counts and of each total, by the table's name."""
        return {table.name: metric for metric in self.each for table in metric.tables}

    @cached_property
    def adding_up(self) -> Sequence[Metric]:
        """Those with a table of counts for each page set."""
        return [metric for metric in self.each if metric.counts]

    @cached_property
    def counts(self) -> Sequence[Table]:
        """The tables of counts, with one file per page set."""
        return [metric.counts for metric in self.each if metric.counts]

    @cached_property
    def totals(self) -> Sequence[Table]:
        """The totals that page sets add up to."""
        return [metric.total for metric in self.adding_up]

    @cached_property
    def over_catalogue(self) -> Sequence[Metric]:
        """Those that are computed over the whole catalogue only, when the products are made."""
        return [metric for metric in self.each if not metric.counts]

    @cached_property
    def every_total(self) -> Sequence[Table]:
        """The tables with the metrics of all NEOs: the totals, then those computed over the whole catalogue."""
        return [*self.totals, *(metric.total for metric in self.over_catalogue)]

    @cached_property
    def of_a_page_set(self) -> Sequence[Table]:
        """Every table with one file per page set, in the order in which they are computed."""
        return [*FROM_PAGES, *self.counts]

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """Every table of the lake, by name."""
        return {table.name: table for table in (*TABLES.values(), *self.counts, *self.every_total)}


ENGINES: Mapping[str, Callable[[Settings], Engine]] = {
    "duckdb": lambda _: DuckDB(),
    "spark": Spark.of,
}
"""Engines by their name in NEO_ENGINE."""
