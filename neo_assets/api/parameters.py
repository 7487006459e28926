"""The parameters of requests: their names, types and bounds, and the condition that each one sets. They are named as in
JPL's API of close approaches where it has them (https://ssd-api.jpl.nasa.gov/doc/cad.html).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from neo_assets.api.problems import Problem
from neo_assets.schema.facts import KM_PER_AU, KM_PER_LUNAR_DISTANCE

Format = Literal["json", "csv", "ndjson", "arrow"]

Operator = Literal[">=", "<=", "="]


@dataclass(frozen=True)
class Condition:
    """What a column has to be."""

    column: str
    operator: Operator
    values: tuple[Any, ...]
    """What it is compared with. One of these is enough; with none, no row fulfils it."""


IdsOf = Callable[[str], tuple[str, ...]]
"""Gives the ids of the NEOs that have a text as their id, designation or name, in upper or lower case."""


# Python reads them, and the description of the API has them: both know this much of regular expressions.
_DISTANCE = r"^([0-9]{1,12}(\.[0-9]{0,18})?|\.[0-9]{1,18})(LD)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_DAYS = r"^[+ -][0-9]{1,5}$"  # in a URL, `+` is a space
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]+$"  # the last one stands for bytes that are not UTF-8
_CURSOR = r"^[A-Za-z0-9_-]+$"


def _distance_of(text: str) -> str:
    if not re.fullmatch(_DISTANCE, text):
        raise ValueError("give a distance in au, such as 0.05, or in lunar distances, such as 10LD")
    return text


def _to_au(distance: str) -> float:
    if distance.endswith("LD"):
        return float(distance.removesuffix("LD")) * KM_PER_LUNAR_DISTANCE / KM_PER_AU
    return float(distance)


def to_day(text: str) -> date:
    """A day (UTC), from a text such as `2029-04-13`, `now`, or `+60`: so many days from now.

    Raises:
        ValueError: it is none.
    """
    today = datetime.now(UTC).date()
    if text == "now":
        return today
    try:
        if re.fullmatch(_DAYS, text):
            return today + timedelta(days=int(text))
        if re.fullmatch(_DATE, text):
            return date.fromisoformat(text)
        raise ValueError
    except (ValueError, OverflowError):
        raise ValueError("give a day such as 2029-04-13, now, or days from now such as +60 or -30") from None


def _day_of(text: str) -> str:
    to_day(text)
    return text


def _plain(text: str) -> str:
    if not re.fullmatch(_PLAIN, text):
        raise ValueError("give a text without control characters, in UTF-8")
    return text


def _given_by_an_answer(text: str) -> str:
    if not re.fullmatch(_CURSOR, text):
        raise ValueError("it is not one that an answer gave")
    return text


def _as_described(pattern: str) -> dict[str, JsonValue]:
    return {"pattern": pattern}


_A_DAY = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "format": "date", "pattern": _DATE},
            {"type": "string", "const": "now"},
            {"type": "string", "pattern": _DAYS},
        ]
    }
)
Text = Annotated[
    str, Field(min_length=1, max_length=100, json_schema_extra=_as_described(_PLAIN)), AfterValidator(_plain)
]
LongText = Annotated[
    str, Field(min_length=1, max_length=1_000, json_schema_extra=_as_described(_PLAIN)), AfterValidator(_plain)
]
Cursor = Annotated[
    str,
    Field(min_length=1, max_length=1_000, json_schema_extra=_as_described(_CURSOR)),
    AfterValidator(_given_by_an_answer),
]
Distance = Annotated[
    str, Field(max_length=40, json_schema_extra=_as_described(_DISTANCE)), AfterValidator(_distance_of)
]
Day = Annotated[str, Field(max_length=20), AfterValidator(_day_of), _A_DAY]
Magnitude = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Year = Annotated[int, Field(ge=1800, le=2300)]
Velocity = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Parameters(BaseModel):
    """What every table takes."""

    model_config = ConfigDict(extra="forbid")
    conditions_of: ClassVar[dict[str, tuple[str, Operator]]] = {}
    """The column that each parameter is compared with, and how."""
    texts: ClassVar[dict[str, str]] = {}
    """Parameters that must be one of the texts in a column, as it is written there."""
    ranges: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of parameters of which the first must not be greater than the second."""

    limit: int = Field(100, ge=1, le=1_000, description="Most rows in an answer.")
    cursor: Cursor | None = Field(None, description="Where to go on: taken from `next` of the answer before.")
    sort: Text | None = Field(
        None, description="The field to sort by, ascending; with `-` in front, descending. Rows without it come last."
    )
    fields: LongText | None = Field(None, description="The fields wanted, separated by commas.")
    format: Format | None = Field(None, description="The form of the answer; goes before the header `Accept`.")

    @property
    def names_an_object(self) -> bool:
        """Whether `conditions` has to find the id of an object."""
        return "des" in self.model_fields_set

    def conditions(self, ids_of: IdsOf) -> list[Condition]:
        """The conditions that the given parameters set."""
        given = {name: getattr(self, name) for name in self.conditions_of}
        return [
            _condition(name, *self.conditions_of[name], value, ids_of)
            for name, value in given.items()
            if value is not None
        ]

    def check_ranges(self) -> None:
        """Refuse a range that ends before it begins: an empty answer would not say why.

        Raises:
            Problem: there is one; it names both ends.
        """
        for ends in self.ranges:
            first, last = (
                None if (value := getattr(self, name)) is None else _comparable(name, value) for name in ends
            )
            if first is not None and last is not None and first > last:
                one, other = (self.name_of(name) for name in ends)
                raise Problem(
                    HTTPStatus.BAD_REQUEST,
                    f"{one} is greater than {other}, so that nothing is between them.",
                    [(one, f"it is greater than {other}"), (other, f"it is less than {one}")],
                )

    @classmethod
    def name_of(cls, field: str) -> str:
        """The name of a parameter, as clients write it."""
        return cls.model_fields[field].alias or field


def _comparable(name: str, value: Any) -> Any:
    if name.startswith("dist_"):
        return _to_au(value)
    return to_day(value) if name.startswith("date_") else value


def _condition(name: str, column: str, operator: Operator, value: Any, ids_of: IdsOf) -> Condition:
    if name == "des":
        return Condition(column, operator, ids_of(value))
    if name.startswith("dist_") and value.endswith("LD"):
        return Condition("miss_distance_ld", operator, (float(value.removesuffix("LD")),))
    if name.startswith(("dist_", "moid_")):
        return Condition(column, operator, (_to_au(value),))
    return Condition(column, operator, (to_day(value) if name.startswith("date_") else value,))


class ObjectParameters(Parameters):
    """What tables of NEOs, and of their approaches, take."""

    conditions_of = {
        "h_min": ("absolute_magnitude_h", ">="),
        "h_max": ("absolute_magnitude_h", "<="),
        "pha": ("is_potentially_hazardous_asteroid", "="),
        "orbit_class": ("orbit_class", "="),
    }
    texts = {"orbit_class": "orbit_class"}
    ranges: ClassVar[tuple[tuple[str, str], ...]] = (("h_min", "h_max"),)

    h_min: Magnitude | None = Field(
        None, alias="h-min", description="Least absolute magnitude H; large objects have a small one."
    )
    h_max: Magnitude | None = Field(None, alias="h-max", description="Greatest absolute magnitude H.")
    pha: bool | None = Field(None, description="Only potentially hazardous asteroids, or none of them.")
    orbit_class: Text | None = Field(None, alias="class", description="Class of the orbit, such as APO; in capitals.")
    des: Text | None = Field(
        None, description="One object: its id, number, provisional designation or name, in upper or lower case."
    )


class ApproachParameters(ObjectParameters):
    """What close approaches take."""

    conditions_of = ObjectParameters.conditions_of | {
        "date_min": ("close_approach_date", ">="),
        "date_max": ("close_approach_date", "<="),
        "dist_min": ("miss_distance_au", ">="),
        "dist_max": ("miss_distance_au", "<="),
        "v_rel_min": ("relative_velocity_km_s", ">="),
        "v_rel_max": ("relative_velocity_km_s", "<="),
        "body": ("orbiting_body", "="),
        "des": ("neo_id", "="),
    }
    texts = ObjectParameters.texts | {"body": "orbiting_body"}
    ranges = (*ObjectParameters.ranges, ("date_min", "date_max"), ("dist_min", "dist_max"), ("v_rel_min", "v_rel_max"))

    date_min: Day | None = Field(None, alias="date-min", description="First day (UTC): 2029-04-13, now, +60 or -30.")
    date_max: Day | None = Field(None, alias="date-max", description="Last day (UTC), as `date-min`.")
    dist_min: Distance | None = Field(None, alias="dist-min", description="Least miss distance: 0.05 (au) or 10LD.")
    dist_max: Distance | None = Field(None, alias="dist-max", description="Greatest miss distance: 0.05 (au) or 10LD.")
    v_rel_min: Velocity | None = Field(
        None, alias="v-rel-min", description="Least velocity relative to the body, in km/s."
    )
    v_rel_max: Velocity | None = Field(None, alias="v-rel-max", description="Greatest velocity, in km/s.")
    body: Text | None = Field(None, description="The orbiting body, as NASA spells it: Earth, Juptr; all without it.")


class NeoParameters(ObjectParameters):
    """What NEOs take."""

    conditions_of = ObjectParameters.conditions_of | {
        "des": ("id", "="),
        "sentry": ("is_sentry_object", "="),
        "moid_max": ("earth_moid_au", "<="),
    }

    sentry: bool | None = Field(None, description="Only objects that JPL's Sentry watches, or none of them.")
    moid_max: Distance | None = Field(
        None,
        alias="moid-max",
        description="Greatest MOID, the least distance of the orbits of the object and the Earth.",
    )


class BodyParameters(Parameters):
    """What counts per orbiting body take."""

    conditions_of = {"body": ("orbiting_body", "=")}
    texts = {"body": "orbiting_body"}

    body: Text | None = Field(None, description="One orbiting body, as NASA spells it: Earth, Juptr.")


class CountParameters(BodyParameters):
    """What counts per year and orbiting body take."""

    conditions_of = BodyParameters.conditions_of | {"year": ("year", "=")}

    year: Year | None = Field(None, description="One calendar year (UTC).")
