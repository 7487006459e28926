"""Counts of the catalogue under the names that NeoWs has for them, and those of a year or an orbiting body."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from neo_assets.api.answers import unless_known
from neo_assets.api.cache import depends_on_nothing_but
from neo_assets.api.errors import PROBLEM, UNAVAILABLE
from neo_assets.api.parameters import Text, Year
from neo_assets.api.problems import refuse
from neo_assets.api.snapshots import Snapshot, Snapshots
from neo_assets.schema.pages import SIMULATOR

_JPL = "https://ssd.jpl.nasa.gov/"
_SOURCES = {SIMULATOR: "the simulator: all objects are made up"}
_NASA = "NASA's JPL, through NeoWs"

_COUNT = """
SELECT count(*) AS approaches, count(*) FILTER (miss_distance_au < (SELECT near_miss_au FROM snapshot)) AS near_misses
FROM close_approaches
WHERE ($year IS NULL OR year(close_approach_date) = $year) AND ($body IS NULL OR orbiting_body = $body)
"""


class StatsParameters(BaseModel):
    """Which approaches are counted."""

    model_config = ConfigDict(extra="forbid")

    year: Year | None = Field(None, description="One calendar year (UTC); all of them without it.")
    body: Text | None = Field(None, description="One orbiting body, such as Earth; all of them without it.")


class Stats(BaseModel):
    """Counts of a snapshot: first NeoWs's own, of all that it holds, then those that were asked for."""

    near_earth_object_count: int = Field(description="Number of NEOs, each once.")
    close_approach_count: int = Field(description="Number of close approaches, past and predicted alike.")
    last_updated: str = Field(description="Day (UTC) on which the newest page arrived.")
    source: str = Field(description="Where the data come from, in words.")
    nasa_jpl_url: str
    year: int | None = Field(description="The year that was asked for.")
    orbiting_body: str | None = Field(description="The orbiting body that was asked for.")
    approaches: int = Field(description="Number of close approaches of this year and body.")
    near_misses: int = Field(description="How many of those are closer than 0.2 au.")


def stats(snapshots: Snapshots) -> APIRouter:
    """The path of the counts."""
    router = APIRouter()
    responses: dict[int | str, dict[str, Any]] = {
        304: {"description": "The client has this answer already."},
        400: PROBLEM | {"description": "A parameter is wrong."},
        503: UNAVAILABLE,
    }

    @router.get("/stats", tags=["about"], response_model=Stats, responses=responses)
    def counts(request: Request, asked: Annotated[StatsParameters, Query()]) -> Response:
        """The counts that NeoWs offers at its own `/stats`, and the approaches of a year, an orbiting body, or both."""
        with snapshots.current() as snapshot:
            depends_on_nothing_but(snapshot, request)
            return unless_known(
                request,
                [snapshot.tag, "stats", asked],
                lambda headers: Response(
                    msgspec.json.encode(_counted(snapshot, asked)), headers=headers, media_type="application/json"
                ),
            )

    return router


def _counted(snapshot: Snapshot, asked: StatsParameters) -> dict[str, Any]:
    if asked.body is not None and asked.body not in (known := snapshot.distinct("close_approaches", "orbiting_body")):
        raise refuse("body", f"there is no {asked.body}; there are: {', '.join(known)}")
    counted: dict[str, int]
    [counted] = snapshot.rows(_COUNT, {"year": asked.year, "body": asked.body}).to_pylist()
    about = snapshot.about
    return {
        "near_earth_object_count": about["neos"],
        "close_approach_count": about["close_approaches"],
        "last_updated": about["newest_page_at"][:10],
        "source": _SOURCES.get(about["source"], _NASA),
        "nasa_jpl_url": _JPL,
        "year": asked.year,
        "orbiting_body": asked.body,
    } | counted
