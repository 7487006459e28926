"""A second, simple and slow reader of Browse pages in plain Python, to compare `parse` with."""

import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from neo_assets.schema.pages import Page

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


class Unreadable(Exception):
    """An object has a value that its column cannot hold."""


def read(pages: Iterable[Page]) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of `neo_records`, `orbits` and `close_approaches`, in page order; each object once, in its last copy."""
    copies: list[tuple[tuple[Any, ...], Row, Row, list[Row], set[str]]] = []
    for page in pages:
        for place, neo in enumerate(json.loads(page.body)["near_earth_objects"]):
            try:
                record, approaches = read_neo(neo)
                orbit = read_orbit(neo)
            except Unreadable:
                continue
            copies.append(((page.fetched_at, page.number, place), record, orbit, approaches, identities(record)))
    kept = [
        copy
        for copy in copies
        if not any(other[0] > copy[0] and other[4] & copy[4] for other in copies)  # a later copy of the same object
    ]
    return (
        [record for _, record, _, _, _ in kept],
        [orbit for _, _, orbit, _, _ in kept],
        [row for _, _, _, rows, _ in kept for row in rows],
    )


def identities(record: Row) -> set[str]:
    """An object's identifiers: its id, and the designation that it keeps when it is numbered."""
    given = (record.get("designation") or "").strip()
    in_name = re.findall(r"\(([^()]+)\)$", record["name"].rstrip())
    provisional = [one for one in (given, *in_name) if is_provisional(one)]
    return {record["id"], *(f"({one})" for one in [*provisional, given][:1] if one)}


def is_provisional(text: str) -> bool:
    """Whether a text is shaped like a provisional designation, of the Minor Planet Center or of a survey."""
    first, _, second = text.partition(" ")
    year = first.rpartition("/")[2]
    if first.isdecimal() and re.fullmatch("P-L|T-[123]", second):
        return True
    return bool(re.fullmatch(r"[0-9AB]\d{3}", year) and re.fullmatch(r"[A-Z]{1,2}\d*(-[A-Z]+)?", second))


def read_neo(neo: Row) -> tuple[Row, list[Row]]:
    """One object's record and approaches."""
    if not isinstance(neo, dict):
        raise Unreadable
    spk_id = neo.get("id") or neo.get("neo_reference_id")
    approaches = [read_approach(spk_id, entry) for entry in neo.get("close_approach_data") or []]
    closest = min(approaches, key=lambda row: (row["miss_distance_km"], row["close_approach_at"]), default={})
    orbit = neo.get("orbital_data") or {}
    meters = (neo.get("estimated_diameter") or {}).get("meters") or {}
    record = {
        "id": spk_id,
        "neo_reference_id": neo.get("neo_reference_id"),
        "name": neo.get("name"),
        "name_limited": neo.get("name_limited"),
        "designation": neo.get("designation"),
        "nasa_jpl_url": neo.get("nasa_jpl_url"),
        "absolute_magnitude_h": neo.get("absolute_magnitude_h"),
        "is_potentially_hazardous_asteroid": neo.get("is_potentially_hazardous_asteroid"),
        "estimated_diameter_min_m": meters.get("estimated_diameter_min"),
        "estimated_diameter_max_m": meters.get("estimated_diameter_max"),
        "closest_approach_miss_distance_km": closest.get("miss_distance_km"),
        "closest_approach_date": closest.get("close_approach_date"),
        "closest_approach_relative_velocity_km_s": closest.get("relative_velocity_km_s"),
        "first_observation_date": day(orbit.get("first_observation_date")),
        "last_observation_date": day(orbit.get("last_observation_date")),
        "observations_used": orbit.get("observations_used"),
        "orbital_period_days": number(orbit.get("orbital_period")),
    }
    if None in (record["id"], record["neo_reference_id"], record["name"]):
        raise Unreadable
    return record, approaches


NUMBERS = {
    "epoch_jd": "epoch_osculation",
    "eccentricity": "eccentricity",
    "semi_major_axis_au": "semi_major_axis",
    "perihelion_distance_au": "perihelion_distance",
    "aphelion_distance_au": "aphelion_distance",
    "inclination_deg": "inclination",
    "ascending_node_longitude_deg": "ascending_node_longitude",
    "perihelion_argument_deg": "perihelion_argument",
    "perihelion_time_jd": "perihelion_time",
    "mean_anomaly_deg": "mean_anomaly",
    "mean_motion_deg_per_day": "mean_motion",
    "earth_moid_au": "minimum_orbit_intersection",
    "jupiter_tisserand_parameter": "jupiter_tisserand_invariant",
}
CLASS = {
    "orbit_class": "orbit_class_type",
    "orbit_class_description": "orbit_class_description",
    "orbit_class_range": "orbit_class_range",
}


def read_orbit(neo: Row) -> Row:
    """One object's orbit. A blank value is not known."""
    neo, orbit = known(neo), known(neo.get("orbital_data") or {})
    determined, uncertainty = orbit.get("orbit_determination_date"), number(orbit.get("orbit_uncertainty"))
    return {
        "neo_id": neo.get("id") or neo.get("neo_reference_id"),
        "orbit_id": orbit.get("orbit_id"),
        "orbit_determined_at": determined and datetime.strptime(determined, "%Y-%m-%d %H:%M:%S"),
        "data_arc_days": orbit.get("data_arc_in_days"),
        "orbit_uncertainty": uncertainty,
        "equinox": orbit.get("equinox"),
        "is_sentry_object": neo.get("is_sentry_object"),
        "sentry_url": (neo.get("sentry_data") or "").split("?")[0] or None,
        **{column: number(orbit.get(key)) for column, key in NUMBERS.items()},
        **{column: known(orbit.get("orbit_class") or {}).get(key) for column, key in CLASS.items()},
    }


def known(values: Row) -> Row:
    """The values, with None for texts without a character."""
    return {name: None if isinstance(one, str) and not one.strip() else one for name, one in values.items()}


def read_approach(spk_id: str | None, entry: Row) -> Row:
    """One approach, which must be complete."""
    try:
        row = {
            "neo_id": spk_id,
            "close_approach_at": EPOCH + timedelta(milliseconds=entry["epoch_date_close_approach"]),
            "close_approach_date": day(entry["close_approach_date"]),
            "orbiting_body": entry["orbiting_body"],
            "miss_distance_au": number(entry["miss_distance"]["astronomical"]),
            "miss_distance_km": number(entry["miss_distance"]["kilometers"]),
            "relative_velocity_km_s": number(entry["relative_velocity"]["kilometers_per_second"]),
        }
    except (KeyError, TypeError):
        raise Unreadable from None
    if None in row.values() or not is_possible(row):
        raise Unreadable
    return row


def is_possible(row: Row) -> bool:
    """Whether an approach can have happened, or can happen, in the years that NeoWs covers."""
    at, day = row["close_approach_at"], row["close_approach_date"]
    near = row["miss_distance_au"] >= 0 and row["miss_distance_km"] >= 0 and row["relative_velocity_km_s"] > 0
    return bool(near and 1899 <= day.year <= 2201 and abs(at.date() - day) <= timedelta(days=1))


def number(text: str | None) -> float | None:
    """A number in a string, as NeoWs writes it."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise Unreadable from None
    if not math.isfinite(value):
        raise Unreadable
    return value


def day(text: str | None) -> date | None:
    """A date in a string, as NeoWs writes it."""
    try:
        return text and date.fromisoformat(text)  # type: ignore[return-value]
    except ValueError:
        raise Unreadable from None
