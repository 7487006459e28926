"""The parameters of requests: their names, types and bounds, and the condition that each one sets. They are named as in
JPL's API of close approaches where it has them (https://ssd-api.jpl.nasa.gov/doc/cad.html).
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from neo_assets.schema.facts import KM_PER_AU, KM_PER_LUNAR_DISTANCE

Format = Literal["json", "csv", "ndjson", "arrow"]

Condition = tuple[str, Any]
"""SQL with one `?`, and the value for it."""

_DISTANCE = re.compile(r"(\d{1,12}(?:\.\d{0,18})?|\.\d{1,18})(LD)?")
_DAYS = re.compile(r"[+ -]\d{1,5}")  # in a URL, `+` is a space


def _distance_of(text: str) -> str:
    if not _DISTANCE.fullmatch(text):
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
        return today + timedelta(days=int(text)) if _DAYS.fullmatch(text) else date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError("give a day such as 2029-04-13, now, or days from now such as +60 or -30") from None


def _day_of(text: str) -> str:
    to_day(text)
    return text


def _no_control_character(text: str) -> str:
    if not text.isprintable():
        raise ValueError("give a text without control characters")
    return text


Text = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_control_character)]
LongText = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_no_control_character)]
Distance = Annotated[str, Field(max_length=40), AfterValidator(_distance_of)]
Day = Annotated[str, Field(max_length=20), AfterValidator(_day_of)]
Magnitude = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Year = Annotated[int, Field(ge=1800, le=2300)]
Velocity = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Parameters(BaseModel):
    """What every table takes."""

    model_config = ConfigDict(extra="forbid")
    conditions_of: ClassVar[dict[str, str]] = {}
    """The condition that each parameter sets."""
    texts: ClassVar[dict[str, str]] = {}
    """Parameters that must be one of the texts in a column."""

    limit: int = Field(100, ge=1, le=1_000, description="Most rows in an answer.")
    cursor: LongText | None = Field(None, description="Where to go on: taken from `next` of the answer before.")
    sort: Text | None = Field(
        None, description="The field to sort by, ascending; with `-` in front, descending. Rows without it come last."
    )
    fields: LongText | None = Field(None, description="The fields wanted, separated by commas.")
    format: Format | None = Field(None, description="The form of the answer; goes before the header `Accept`.")

    def conditions(self) -> list[Condition]:
        """The conditions that the given parameters set."""
        given = {name: getattr(self, name) for name in self.conditions_of}
        return [_condition(name, self.conditions_of[name], value) for name, value in given.items() if value is not None]


def _condition(name: str, sql: str, value: Any) -> Condition:
    if name.startswith("dist_") and value.endswith("LD"):
        return sql.replace("miss_distance_au", "miss_distance_ld"), float(value.removesuffix("LD"))
    if name.startswith(("dist_", "moid_")):
        return sql, _to_au(value)
    return sql, to_day(value) if name.startswith("date_") else value


class ObjectParameters(Parameters):
    """What tables of NEOs, and of their approaches, take."""

    conditions_of = {
        "h_min": "absolute_magnitude_h >= ?",
        "h_max": "absolute_magnitude_h <= ?",
        "pha": "is_potentially_hazardous_asteroid = ?",
        "orbit_class": "orbit_class = ?",
    }
    texts = {"orbit_class": "orbit_class"}

    h_min: Magnitude | None = Field(
        None, alias="h-min", description="Least absolute magnitude H; large objects have a small one."
    )
    h_max: Magnitude | None = Field(None, alias="h-max", description="Greatest absolute magnitude H.")
    pha: bool | None = Field(None, description="Only potentially hazardous asteroids, or none of them.")
    orbit_class: Text | None = Field(None, alias="class", description="Class of the orbit, such as APO.")
    des: Text | None = Field(None, description="One object: its id, designation or name.")


IS_NAMED = "? IN (id, designation, name, name_limited)"
"""The condition that a NEO has a name, designation or id."""

_ONE_OBJECT = f"(SELECT id FROM neos WHERE {IS_NAMED})"


class ApproachParameters(ObjectParameters):
    """What close approaches take."""

    conditions_of = ObjectParameters.conditions_of | {
        "date_min": "close_approach_date >= ?",
        "date_max": "close_approach_date <= ?",
        "dist_min": "miss_distance_au >= ?",
        "dist_max": "miss_distance_au <= ?",
        "v_rel_min": "relative_velocity_km_s >= ?",
        "v_rel_max": "relative_velocity_km_s <= ?",
        "body": "orbiting_body = ?",
        "des": f"neo_id IN {_ONE_OBJECT}",
    }
    texts = ObjectParameters.texts | {"body": "orbiting_body"}

    date_min: Day | None = Field(None, alias="date-min", description="First day (UTC): 2029-04-13, now, +60 or -30.")
    date_max: Day | None = Field(None, alias="date-max", description="Last day (UTC), as `date-min`.")
    dist_min: Distance | None = Field(None, alias="dist-min", description="Least miss distance: 0.05 (au) or 10LD.")
    dist_max: Distance | None = Field(None, alias="dist-max", description="Greatest miss distance: 0.05 (au) or 10LD.")
    v_rel_min: Velocity | None = Field(
        None, alias="v-rel-min", description="Least velocity relative to the body, in km/s."
    )
    v_rel_max: Velocity | None = Field(None, alias="v-rel-max", description="Greatest velocity, in km/s.")
    body: Text | None = Field(None, description="The orbiting body, such as Earth; all of them without it.")


class NeoParameters(ObjectParameters):
    """What NEOs take."""

    conditions_of = ObjectParameters.conditions_of | {
        "des": f"id IN {_ONE_OBJECT}",
        "sentry": "is_sentry_object = ?",
        "moid_max": "earth_moid_au <= ?",
    }

    sentry: bool | None = Field(None, description="Only objects that JPL's Sentry watches, or none of them.")
    moid_max: Distance | None = Field(
        None,
        alias="moid-max",
        description="Greatest MOID, the least distance of the orbits of the object and the Earth.",
    )


class BodyParameters(Parameters):
    """What counts per orbiting body take."""

    conditions_of = {"body": "orbiting_body = ?"}
    texts = {"body": "orbiting_body"}

    body: Text | None = Field(None, description="One orbiting body, such as Earth.")


class CountParameters(BodyParameters):
    """What counts per year and orbiting body take."""

    conditions_of = BodyParameters.conditions_of | {"year": "year = ?"}

    year: Year | None = Field(None, description="One calendar year (UTC).")
