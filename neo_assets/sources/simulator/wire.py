"""Writes a NEO as the API does: keys and their order, number strings, links. It also draws the single approaches.

Numbers stay integers until they are written, so that unit conversions are exact to the last decimal.
"""

from datetime import date, timedelta
from math import cos, radians, sqrt
from random import Random
from typing import Any

from neo_assets.sources.simulator.identity import Era, Identity
from neo_assets.sources.simulator.traits import CUTOFFS, DISTANCE_POWERS, Traits

API_KEY = "{api_key}"
"""Placeholder for the caller's key, which the API repeats in every link."""
BASE_URL = "http://api.nasa.gov/neo/rest/v1"
"""Root of every link: NeoWs writes http even if called over https."""
NO_SUCH_SITE = "https://simulated.invalid"
"""Used in links instead of JPL's site, where an invented object's link could lead to a real one (RFC 2606)."""

KM_PER_AU = 149_597_870
LUNAR_DISTANCES_PER_AU = 389
MILES_PER_KM = 62_137_118_663_521, 10**14
MPH_PER_KPH = 6_213_611_111_111, 10**13
"""0.6213611, an error of NASA's that the simulator reproduces; the correct factor is 0.6213712."""

ONE_AU_PERIOD_DAYS = 365.2568983
"""Orbital period at 1 au, days (the Gaussian year)."""
JUPITER_AU = 5.2044

_DIAMETER_UNITS = {"kilometers": 1.0, "meters": 1000.0, "miles": 0.621371, "feet": 3280.84}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1).toordinal(), date(2200, 12, 31).toordinal()
_EDGE_DAYS = (date(1899, 12, 30).toordinal(), date(1899, 12, 31).toordinal(), date(2201, 1, 1).toordinal())
_EPOCH_DAY, _JULIAN_DAY = date(1970, 1, 1).toordinal(), 1_721_424.5
_SPEEDS = {"Earth": 14.0, "Venus": 17.5, "Mars": 12.0, "Merc": 29.0, "Juptr": 5.5, "Satrn": 6.0, "Ceres": 8.0}
"""Typical relative velocity by body, km/s."""

_ORBIT_CLASSES = {
    "APO": ("Apollo: the asteroid’s orbit crosses the Earth’s and is the larger one", "a > 1.0 au; q < 1.017 au"),
    "AMO": ("Amor: the asteroid comes near the Earth from outside", "1.017 au < q < 1.3 au"),
    "ATE": ("Aten: the asteroid’s orbit crosses the Earth’s and is the smaller one", "a < 1.0 au; Q > 0.983 au"),
    "IEO": ("Atira: the asteroid stays inside the Earth’s orbit", "Q < 0.983 au"),
}


def write_neo(identity: Identity, traits: Traits, rng: Random) -> dict[str, Any]:
    """A NEO as an entry of `near_earth_objects`; `rng` decides the details that the traits leave open."""
    neo: dict[str, Any] = {
        "links": {"self": f"{BASE_URL}/neo/{identity.id}?api_key={API_KEY}"},
        "id": identity.id,
        "neo_reference_id": identity.id,
        "name": identity.name,
    }
    if identity.name_limited:
        neo["name_limited"] = identity.name_limited
    neo["designation"] = identity.designation
    neo["nasa_jpl_url"] = f"{NO_SUCH_SITE}/tools/sbdb_lookup.html#/?sstr={identity.id}"
    if traits.absolute_magnitude_h is not None:
        neo["absolute_magnitude_h"] = traits.absolute_magnitude_h
        neo["estimated_diameter"] = estimated_diameter(traits.absolute_magnitude_h)
    neo["is_potentially_hazardous_asteroid"] = traits.hazardous
    neo["close_approach_data"] = _close_approaches(traits, rng)
    neo["orbital_data"] = _orbital_data(traits, rng)
    neo["is_sentry_object"] = traits.sentry
    if traits.sentry:
        neo["sentry_data"] = f"{BASE_URL}/neo/sentry/{identity.id}?api_key={API_KEY}"
    return neo


def estimated_diameter(h: float) -> dict[str, dict[str, float]]:
    """Diameters for an albedo of 0.25 and 0.05, from D = 1329 km / sqrt(albedo) * 10^(-H/5).

    Source: https://cneos.jpl.nasa.gov/tools/ast_size_est.html.
    """
    least = 1329 / sqrt(0.25) * 10 ** (-h / 5)
    return {
        unit: {
            "estimated_diameter_min": round(least * factor, 10),
            "estimated_diameter_max": round(least * sqrt(5) * factor, 10),
        }
        for unit, factor in _DIAMETER_UNITS.items()
    }


def plain_decimal(value: int, places: int) -> str:
    """`value` / 10^`places`, without an exponent or trailing zeros."""
    whole, fraction = divmod(value, 10**places)
    digits = f"{fraction:0{places}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def orbital_number(value: float, digits: int = 16) -> str:
    """An orbital element to some significant digits, without a leading zero, with an exponent (`E-5`) below 0.0001."""
    if 0 < value < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}E}".split("E")
        return f"{mantissa.rstrip('0').rstrip('.')}E{int(exponent)}"
    return f"{value:.{digits}g}".removeprefix("0")


def _tisserand(traits: Traits) -> str:
    """Tisserand's parameter with respect to Jupiter, negative for some retrograde orbits."""
    scaled = traits.semi_major_axis / JUPITER_AU
    value = 1 / scaled + 2 * cos(radians(traits.inclination)) * sqrt(scaled * (1 - traits.eccentricity**2))
    return f"{value:.3f}".replace("-0.", "-.").removeprefix("0")


def _close_approaches(traits: Traits, rng: Random) -> list[dict[str, Any]]:
    """The approaches in time order: at most one per body and day; those to the Moon accompany the nearest to Earth."""
    moons = traits.approaches.get("Moon", 0)
    speed = 0.7 + 0.6 * rng.random()
    found: list[tuple[int, str, dict[str, Any]]] = []
    for body, count in traits.approaches.items():
        if body == "Moon":
            continue
        least, cutoff = (traits.moid, traits.earth_cutoff) if body == "Earth" else (0.0, CUTOFFS[body])
        for order, day in enumerate(_days(traits, rng, body, count)):
            minute = (day - _EPOCH_DAY) * 1440 + rng.randrange(1440)
            kms = _SPEEDS[body] * speed * (0.75 + 0.5 * rng.random())
            by_the_moon = body == "Earth" and order < moons
            distance = _distance(rng, body, least, 0.012 if by_the_moon else cutoff)
            found.append((minute, body, _approach(minute, body, distance, kms)))
            if by_the_moon:
                minute += rng.randrange(-360, 361)
                distance = _distance(rng, "Moon", 0.0, CUTOFFS["Moon"])
                found.append((minute, "Moon", _approach(minute, "Moon", distance, kms)))
    return [approach for _, _, approach in sorted(found, key=lambda item: item[:2])]


def _days(traits: Traits, rng: Random, body: str, count: int) -> list[int]:
    """Distinct days (as ordinals of `date`); for an uncertain orbit, only within ten years of the first observation."""
    first, last = _FIRST_DAY, _LAST_DAY
    if traits.orbit_uncertainty > 5:
        first, last = traits.first_observed.toordinal() - 3650, traits.first_observed.toordinal() + 3650
    days: dict[int, None] = {}
    if body == "Earth" and traits.era == Era.PROVISIONAL:
        days[traits.first_observed.toordinal() + rng.randrange(5)] = None  # it was near Earth when discovered
    while len(days) < count:
        edge = rng.random() < 1e-5
        days[_EDGE_DAYS[rng.randrange(3)] if edge else rng.randrange(first, last + 1)] = None
    return list(days)


def _distance(rng: Random, body: str, least: float, cutoff: float) -> int:
    """A miss distance in 1e-10 au, between `least` (the MOID) and the cut-off."""
    power = DISTANCE_POWERS[body]
    low = least**power
    distance = (low + rng.random() * (cutoff**power - low)) ** (1 / power)
    return min(max(int(distance * 10**10), 100_000), int(cutoff * 10**10) - 1)


def _approach(minute: int, body: str, distance: int, kms: float) -> dict[str, Any]:
    """One approach, from minutes since 1970, distance in 1e-10 au and velocity in km/s."""
    day, minute_of_day = divmod(minute, 1440)
    iso, full = _day_names(day)
    pace = int(kms * 10**12)  # the API multiplies before it rounds
    kph = pace * 36
    km = distance * (KM_PER_AU // 10)
    return {
        "close_approach_date": iso,
        "close_approach_date_full": f"{full} {minute_of_day // 60:02d}:{minute_of_day % 60:02d}",
        "epoch_date_close_approach": minute * 60_000,
        "relative_velocity": {
            "kilometers_per_second": plain_decimal((pace + 50) // 100, 10),
            "kilometers_per_hour": plain_decimal(kph, 10),
            "miles_per_hour": plain_decimal(kph * MPH_PER_KPH[0] // MPH_PER_KPH[1], 10),
        },
        "miss_distance": {
            "astronomical": plain_decimal(distance, 10),
            "lunar": plain_decimal(distance * LUNAR_DISTANCES_PER_AU, 10),
            "kilometers": plain_decimal(km, 9),
            "miles": plain_decimal(km * 10 * MILES_PER_KM[0] // MILES_PER_KM[1], 10),
        },
        "orbiting_body": body,
    }


def _day_names(day: int) -> tuple[str, str]:
    when = date.fromordinal(day + _EPOCH_DAY)
    return when.isoformat(), f"{when.year}-{_MONTHS[when.month - 1]}-{when.day:02d}"


def _orbital_data(traits: Traits, rng: Random) -> dict[str, Any]:
    period = ONE_AU_PERIOD_DAYS * traits.semi_major_axis**1.5
    motion = 360 / period
    epoch = 2_461_000.5 if traits.orbit_uncertainty < 6 else traits.last_observed.toordinal() + _JULIAN_DAY
    anomaly = 360 * rng.random()
    perihelion_time = epoch + ((360 - anomaly) if anomaly > 180 else -anomaly) / motion
    determined = traits.orbit_determined
    second = rng.randrange(86_400)
    description, bounds = _ORBIT_CLASSES[traits.orbit_class]
    return {
        "orbit_id": str(1 + int(traits.observations * (0.1 + 0.3 * rng.random()))),
        "orbit_determination_date": f"{determined} {timedelta(seconds=second)!s:0>8}",
        "first_observation_date": traits.first_observed.isoformat(),
        "last_observation_date": traits.last_observed.isoformat(),
        "data_arc_in_days": (traits.last_observed - traits.first_observed).days or None,
        "observations_used": traits.observations,
        "orbit_uncertainty": str(traits.orbit_uncertainty),
        "minimum_orbit_intersection": orbital_number(traits.moid, 6),
        "jupiter_tisserand_invariant": _tisserand(traits),
        "epoch_osculation": f"{epoch:.1f}",
        "eccentricity": orbital_number(traits.eccentricity),
        "semi_major_axis": orbital_number(traits.semi_major_axis),
        "inclination": orbital_number(traits.inclination),
        "ascending_node_longitude": orbital_number(360 * rng.random()),
        "orbital_period": orbital_number(period),
        "perihelion_distance": orbital_number(traits.perihelion),
        "perihelion_argument": orbital_number(360 * rng.random()),
        "aphelion_distance": orbital_number(traits.aphelion),
        "perihelion_time": f"{perihelion_time:.9f}",
        "mean_anomaly": orbital_number(anomaly),
        "mean_motion": orbital_number(motion),
        "equinox": "J2000",
        "orbit_class": {
            "orbit_class_type": traits.orbit_class,
            "orbit_class_description": description,
            "orbit_class_range": bounds,
        },
    }
