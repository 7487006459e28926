"""Which SQL computes which table, and with which parameters. Running it is the engine's job."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from neo_assets.schema.tables import NEAR_MISS_AU, NEAR_MISS_COUNT, TOTAL_NEAR_MISSES

SUPERSEDED = "superseded"
"""Query behind every total: the copies left out because another page set holds a later one."""

_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    NEAR_MISS_COUNT.name: {"near_miss_au": NEAR_MISS_AU},
    TOTAL_NEAR_MISSES.name: {"near_miss_au": NEAR_MISS_AU},
}


@cache
def sql(name: str) -> str:
    """The text of `metrics/{name}.sql`."""
    return resources.files("neo_assets.pipeline.metrics").joinpath(f"{name}.sql").read_text(encoding="utf-8")


def parameters(name: str) -> Mapping[str, Any]:
    """Values for the query's `$parameters`."""
    return _PARAMETERS.get(name, {})


def recipe(name: str) -> list[str]:
    """Everything that determines a query's result besides the rows it reads: its text and its parameters."""
    return [sql(name), *(f"{key}={value!r}" for key, value in parameters(name).items())]
