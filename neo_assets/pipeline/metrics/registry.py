"""Which metrics there are: each is one `.sql` file, here or in the folder that NEO_METRICS names. Its header says all
that is known of it. Running the SQL is the engine's job; adding up lives in `count`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from neo_assets.schema.columns import Column, Table
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.products import RESERVED
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, TABLES
from neo_assets.settings import SettingsError

NEWEST_PAGE_AT = "newest_page_at"
"""Parameter of metrics that have no table of page sets: the time at which the newest page arrived."""

_READABLE = {table.name: table for table in (NEO_RECORDS, ORBITS, CLOSE_APPROACHES)}
"""What a metric may be computed from: tables that name the NEO in their first column."""

_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("ms", "UTC"),
}

_NAME = "^[a-z][a-z0-9_]*$"

_ColumnName = Annotated[str, StringConstraints(pattern=_NAME)]

_HEADER_AND_SQL = re.compile(r"\s*/\*(.*?)\*/(.*)", re.DOTALL)


def header_and_sql(text: str) -> tuple[str, str] | None:
    """The header of a `.sql` file, which is YAML between /* and */, and its query; None if it has no header."""
    parts = _HEADER_AND_SQL.fullmatch(text)
    return (parts[1], parts[2].strip()) if parts else None


_PARAMETER = re.compile(
    r"--[^\n]*|/\*.*?\*/"  # comments
    r"|'[^']*'|\bE'(?:[^'\\]|\\.)*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"  # strings; one with '' in it is read as two
    r'|"[^"]*"|\w[\w$]*'  # names
    r"|\$(?P<parameter>\w+)",
    re.DOTALL | re.IGNORECASE,
)


def parameters_of(sql: str) -> set[str]:
    """The `$names` of a query, without the `$`. DuckDB would find them, too, but is slow to import."""
    return {found["parameter"] for found in _PARAMETER.finditer(sql) if found["parameter"]}


def with_colons(sql: str) -> str:
    """The same query with `:name` for each `$name`, as Spark spells parameters."""
    return _PARAMETER.sub(lambda found: f":{found['parameter']}" if found["parameter"] else found[0], sql)


@dataclass(frozen=True)
class Metric:
    """A metric: its SQL, and what its header says."""

    name: str
    sql: str
    parameters: Mapping[str, Any]
    """Values for the query's `$parameters`."""
    adds_up: Literal["sum", "least", "never"]
    """How: the numbers are summed; the row with the least first number is kept; or not at all."""
    reads: Mapping[str, Sequence[str]]
    """The tables that it is computed from, and the columns of each; the first one names the NEO."""
    counts: Table | None
    """The metric of one page set; None if it is computed over the whole catalogue only."""
    total: Table
    """The metric over all page sets, with each NEO once."""

    @property
    def tables(self) -> list[Table]:
        """The total, and before it the table of the page sets, if there is one."""
        return [self.counts, self.total] if self.counts else [self.total]

    @property
    def grain(self) -> list[str]:
        """The columns that tell rows apart."""
        return list(self.total.key)

    @property
    def numbers(self) -> list[str]:
        """The other columns."""
        return [name for name in self.total.schema.names if name not in self.total.key]

    @property
    def of_a_snapshot(self) -> bool:
        """Whether the SQL needs the time of the snapshot."""
        return NEWEST_PAGE_AT in parameters_of(self.sql)


class _Column(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["string", "bool", "int32", "int64", "double", "date", "timestamp"]
    description: str
    unit: str = ""
    source: str = ""
    nullable: bool = False
    minimum: int | float | date | None = None
    maximum: int | float | date | None = None
    above: int | float | date | None = None
    choices: tuple[str, ...] = ()

    def column(self, name: str) -> Column:
        """The column with this name."""
        return Column(name, **self.model_dump() | {"type": _TYPES[self.type]})


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=_NAME)
    total: str = Field("", pattern="^([a-z][a-z0-9_]*)?$")
    description: str
    reads: dict[Literal["neo_records", "orbits", "close_approaches"], list[str]] = Field(min_length=1)
    grain: dict[_ColumnName, _Column] = Field(min_length=1)
    numbers: dict[_ColumnName, _Column] = Field(min_length=1)
    adds_up: Literal["sum", "least", "never"]
    of_page_sets: bool = True
    parameters: dict[str, int | float | bool | str] = {}

    def metric(self, sql: str) -> Metric:
        """The metric with this header."""
        total = Table(
            self.total or f"total_{self.name}",
            f"{self.description} Each NEO counts once.",
            tuple(one.column(name) for name, one in (self.grain | self.numbers).items()),
            partitioned=False,
            key=tuple(self.grain),
            layer="gold",
            recipe=(sql, self.adds_up, *(f"{key}={value!r}" for key, value in self.parameters.items())),
            reads=tuple(_READABLE[name] for name in self.reads),
        )
        counts = None
        if self.of_page_sets and self.adds_up != "never":
            words = f"{self.description} Of one page set."
            counts = Table(
                self.name, words, total.columns, key=total.key, layer="gold", recipe=total.recipe, reads=total.reads
            )
        reads: dict[str, list[str]] = {name: _with_neo(_READABLE[name], of) for name, of in self.reads.items()}
        return Metric(self.name, sql, self.parameters, self.adds_up, reads, counts, total)

    @model_validator(mode="after")
    def _reads_what_there_is(self) -> Self:
        for name, columns in self.reads.items():
            if unknown := set(columns) - set(_READABLE[name].schema.names):
                raise ValueError(f"{name} has no column {min(unknown)}")
        return self


def _with_neo(table: Table, columns: Sequence[str]) -> list[str]:
    """These columns, and before them the one that names the NEO."""
    return list(dict.fromkeys([table.schema.names[0], *columns]))


def read_metrics(folder: Path) -> list[Metric]:
    """The metrics of a folder, in the order of their names.

    Raises:
        SettingsError: the folder or a file cannot be read, or a header is wrong.
    """
    try:
        files = {path: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()) if path.suffix == ".sql"}
    except OSError as error:
        raise SettingsError(f"NEO_METRICS: {error.filename} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"NEO_METRICS: a file in {folder} is not UTF-8 ({error})") from None
    return [_metric(path, text) for path, text in files.items()]


def of_one_s_own(folder: Path | None) -> list[Metric]:
    """The metrics of the folder that NEO_METRICS names; none without one.

    Raises:
        SettingsError: the folder cannot be read, a header is wrong, or a table has the name of another table or of a
            view.
    """
    found = read_metrics(folder) if folder else []
    names = {*TABLES, *RESERVED, *(table.name for metric in BUILT_IN for table in metric.tables)}
    for metric in found:
        for table in metric.tables:
            if table.name in names:
                raise SettingsError(
                    f"NEO_METRICS: {folder}/{metric.name}.sql: another table or view has the name {table.name}"
                )
            names.add(table.name)
    return found


def _metric(path: Path, text: str) -> Metric:
    parts = header_and_sql(text)
    if not parts:
        raise SettingsError(f"NEO_METRICS: {path} does not begin with a header between /* and */ (see docs/metrics.md)")
    try:
        header = _Header.model_validate(yaml.safe_load(parts[0]))
    except yaml.YAMLError as error:
        raise SettingsError(f"NEO_METRICS: the header of {path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"NEO_METRICS: the header of {path} is wrong: {wrong} (see docs/metrics.md)") from None
    metric = header.metric(parts[1])
    if metric.name != path.stem:
        raise SettingsError(f"NEO_METRICS: the header of {path} names another metric, {metric.name}")
    if metric.counts and metric.of_a_snapshot:
        raise SettingsError(
            f"NEO_METRICS: {path} uses ${NEWEST_PAGE_AT}, which no page set knows by itself: leave it out, or say "
            "`of_page_sets: false`"
        )
    from_header = parameters_of(metric.sql) - {NEWEST_PAGE_AT}
    if lacking := from_header - metric.parameters.keys():
        name = min(lacking)
        raise SettingsError(
            f"NEO_METRICS: {path} uses ${name}, which its header does not give: add it to `parameters` "
            "(see docs/metrics.md)"
        )
    if unused := metric.parameters.keys() - from_header:
        name = min(unused)
        raise SettingsError(
            f"NEO_METRICS: the header of {path} gives the parameter {name}, which the SQL does not take from there: "
            f"use ${name}, or leave it out"
        )
    return metric


BUILT_IN: Sequence[Metric] = read_metrics(Path(__file__).parent)
"""The metrics that every lake has."""

_BY_NAME = {table.name: table for metric in BUILT_IN for table in metric.tables}

NEAR_MISS_COUNT, TOTAL_NEAR_MISSES = _BY_NAME["near_miss_count"], _BY_NAME["total_near_misses"]
YEARLY_APPROACHES, TOTAL_YEARLY_APPROACHES = _BY_NAME["yearly_approaches"], _BY_NAME["total_yearly_approaches"]
