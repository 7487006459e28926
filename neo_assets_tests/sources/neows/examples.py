"""Hand-written parts of Browse pages, and real captures if available. No assertions here."""

import functools
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from neo_assets.schema.pages import Page

CAPTURES = Path(__file__).parents[4] / "shared/neows"
NEEDS_CAPTURES = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the real captures are not at hand")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def approach(au: str = "0.1", km: str = "14959787", day: str = "2001-02-03", body: str = "Earth") -> dict[str, Any]:
    """One entry of `close_approach_data`, at midnight of the day."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return {
        "close_approach_date": day,
        "close_approach_date_full": at.strftime("%Y-%b-%d 00:00"),
        "epoch_date_close_approach": round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)),
        "relative_velocity": {"kilometers_per_second": "12.5", "kilometers_per_hour": "45000"},
        "miss_distance": {"astronomical": au, "kilometers": km},
        "orbiting_body": body,
    }


def neo(spk_id: str = "3000001", *approaches: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """One object. `changes` replace its values; `...` removes one."""
    whole = {
        "id": spk_id,
        "neo_reference_id": spk_id,
        "name": f"({spk_id} XY)",
        "designation": f"{spk_id} XY",
        "nasa_jpl_url": f"https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr={spk_id}",
        "absolute_magnitude_h": 20.5,
        "estimated_diameter": {
            "meters": {"estimated_diameter_min": 211.1324448, "estimated_diameter_max": 472.1064988}
        },
        "is_potentially_hazardous_asteroid": False,
        "close_approach_data": list(approaches),
        "orbital_data": {
            "first_observation_date": "1999-01-02",
            "last_observation_date": "2025-12-31",
            "observations_used": 321,
            "orbital_period": "400.25",
            "orbit_id": "63",
            "orbit_uncertainty": "0",
            "semi_major_axis": "1.25",
            "eccentricity": ".2",
            "perihelion_distance": "1.0",
            "aphelion_distance": "1.5",
        },
        "is_sentry_object": False,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def body(*neos: Any, number: int = 0, total: int = 40_000, **layout: Any) -> bytes:
    """A page's body; `layout` goes to `json.dumps`."""
    links = {"self": f"http://api.nasa.gov/neo/rest/v1/neo/browse?page={number}&size=20&api_key=REDACTED"}
    size = {"size": 20, "total_elements": total, "total_pages": -(-total // 20), "number": number}
    document = {"links": links, "page": size, "near_earth_objects": list(neos)}
    return json.dumps(document, ensure_ascii=False, **({"separators": (",", ":")} | layout)).encode()


def page(*neos: Any, number: int = 0, hours: float = 0, **layout: Any) -> Page:
    """A page fetched `hours` after `NOON`."""
    at = NOON + timedelta(hours=hours)
    return Page(number, body(*neos, number=number, **layout), at, "simulator", len(neos), 40_000)


@functools.cache
def captured_pages() -> dict[str, Page]:
    """The captured Browse pages by name, and the captured single objects as pages of 20."""
    found = {}
    for file in sorted(CAPTURES.glob("*_page-*.json")):
        content = file.read_bytes()
        document = json.loads(content)
        size = document["page"]
        found[file.name] = Page(
            size["number"], content, NOON, "nasa", len(document["near_earth_objects"]), size["total_elements"]
        )
    for file in sorted(CAPTURES.glob("*.ndjson.gz")):
        lines = gzip.decompress(file.read_bytes()).splitlines()
        for number, start in enumerate(range(0, len(lines), 20)):
            content = b'{"near_earth_objects":[' + b",".join(lines[start : start + 20]) + b"]}"
            found[f"{file.name} {number}"] = Page(number, content, NOON, "nasa", 20, 23_600)
    return found


def wrapped(pages: Iterable[Page]) -> list[Page]:
    """The pages, renumbered in order."""
    return [Page(i, one.body, one.fetched_at, one.source, one.neos, one.total_elements) for i, one in enumerate(pages)]
