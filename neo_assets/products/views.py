"""The views of the database: each is one `.sql` file in `views/`, whose header says what it shows, and what the columns
mean that it adds. Running the SQL is the business of `database`.

A header is YAML in the comment at the top: `description`, and below `columns`, for each column that the view computes,
its `description` and `unit`. A view may read others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import resources
from typing import Any

import yaml

from neo_assets.pipeline.metrics.registry import header_and_sql


@dataclass(frozen=True)
class View:
    """One view, as its file defines it."""

    name: str
    description: str
    columns: Mapping[str, Mapping[str, str]]
    """The columns that it computes, each with `description` and `unit`, if it has one."""
    sql: str
    """The query, without the header."""
    text: str
    """The whole file."""

    @property
    def reads(self) -> list[str]:
        """The tables and views that it reads, in the order of its SQL."""
        return list(dict.fromkeys(re.findall(r"(?:(?<!YEAR )FROM|JOIN) ([a-z_]+)", self.sql)))


@cache
def views() -> Mapping[str, View]:
    """All views by name; each after those that it reads."""
    files = resources.files("neo_assets.products").joinpath("views").iterdir()
    found = [_view(file.name, file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".sql")]
    by_name = {view.name: view for view in sorted(found, key=lambda view: view.name)}
    order = TopologicalSorter({view.name: [one for one in view.reads if one in by_name] for view in by_name.values()})
    return {name: by_name[name] for name in order.static_order()}


def _view(file: str, text: str) -> View:
    parts = header_and_sql(text)
    assert parts, f"views/{file} does not begin with a header between /* and */"
    said: dict[str, Any] = yaml.safe_load(parts[0])
    return View(file.removesuffix(".sql"), said["description"].strip(), said.get("columns", {}), parts[1], text)
