"""An object's physical data: size, orbit, observation dates, and the number of close approaches by body.

One cheap random draw per object, so that approaches can be counted without being generated. The distributions are
fitted to real figures of 2020 to 2026, which the tests state. `wire` writes the NEO as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from math import exp
from random import Random

from neo_assets.sources.simulator.identity import Era, Identities

TODAY = date(2026, 2, 28)
"""The catalogue's date: no observation and no orbit is later."""

EARTH_CUTOFF_CHANGED = date(2024, 12, 1)
LAST_OLD_ORBIT = date(2024, 11, 30)
"""Last day of old orbits, which list Earth approaches up to 0.5 au; newer orbits list them up to 0.2 au."""

CUTOFFS = {"Venus": 0.15, "Mars": 0.1, "Merc": 0.1, "Juptr": 2.0, "Satrn": 2.0, "Ceres": 0.1, "Moon": 0.01}
"""Upper limit (exclusive) of the miss distance in au, by orbiting body; Earth's depends on the orbit's date."""

DISTANCE_POWERS = {
    "Earth": 1.6,
    "Venus": 1.7,
    "Mars": 1.9,
    "Merc": 1.7,
    "Juptr": 4.0,
    "Satrn": 4.0,
    "Ceres": 2.0,
    "Moon": 1.3,
}
"""The share of approaches within a distance d is proportional to d to this power, so most are near the cut-off."""

PHA_MAX_MOID_AU = 0.05
PHA_MAX_H = 22.0
"""A potentially hazardous asteroid has at most this MOID and at most this absolute magnitude H.

Source: https://cneos.jpl.nasa.gov/about/neo_groups.html.
"""


@dataclass(frozen=True)
class Traits:
    """An object's data, from which all else is derived; distances in au, angles in degrees."""

    era: Era
    absolute_magnitude_h: float | None
    semi_major_axis: float
    eccentricity: float
    inclination: float
    moid: float
    orbit_class: str
    orbit_uncertainty: int
    first_observed: date
    last_observed: date
    orbit_determined: date
    observations: int
    sentry: bool
    earth_cutoff: float
    """Largest miss distance listed for Earth, au."""
    approaches: Mapping[str, int]
    """Number of close approaches by orbiting body."""

    @property
    def perihelion(self) -> float:
        """Smallest distance to the Sun, au."""
        return self.semi_major_axis * (1 - self.eccentricity)

    @property
    def aphelion(self) -> float:
        """Largest distance to the Sun, au."""
        return self.semi_major_axis * (1 + self.eccentricity)

    @property
    def hazardous(self) -> bool:
        """Whether the object is a potentially hazardous asteroid."""
        h = self.absolute_magnitude_h
        return h is not None and h <= PHA_MAX_H and self.moid <= PHA_MAX_MOID_AU


def draw_traits(identities: Identities, number: int) -> Traits:
    """The traits of object `number`, which are always the same."""
    rng = Random(f"{identities.seed}/{number}")
    era = identities.era(number)
    h = _absolute_magnitude(rng, era, number)
    a, e, inclination, moid = _orbit(rng, era, faint=h > PHA_MAX_H)
    q, aphelion = a * (1 - e), a * (1 + e)
    uncertainty = _uncertainty(rng, era)
    first, last, determined, observations = _observations(rng, era, uncertainty, identities.discovered(number))
    cutoff = 0.5 if determined < EARTH_CUTOFF_CHANGED else 0.2
    return Traits(
        era=era,
        absolute_magnitude_h=h if rng.random() >= 1 / 5_000 else None,
        semi_major_axis=a,
        eccentricity=e,
        inclination=inclination,
        moid=moid,
        orbit_class=orbit_class(a, q, aphelion),
        orbit_uncertainty=uncertainty,
        first_observed=first,
        last_observed=last,
        orbit_determined=determined,
        observations=observations,
        sentry=moid < 0.01 and rng.random() < (0.01 if era <= Era.NUMBERED else 0.2),
        earth_cutoff=cutoff,
        approaches=_approaches(rng, era, uncertainty, q, aphelion, moid, cutoff),
    )


def orbit_class(a: float, q: float, aphelion: float) -> str:
    """IEO, ATE, APO or AMO, from semi-major axis, perihelion and aphelion distance in au."""
    if aphelion < 0.983:
        return "IEO"
    if a < 1.0:
        return "ATE"
    return "APO" if q < 1.017 else "AMO"


def _absolute_magnitude(rng: Random, era: Era, number: int) -> float:
    mean, spread = ((16.9 - 4 * exp(-number / 10), 1.4), (19.3, 1.6), (24.2, 2.3), (25.3, 2.4), (25.3, 2.4))[era]
    return round(min(max(rng.gauss(mean, spread), 9.2), 33.2), 2)


def _orbit(rng: Random, era: Era, *, faint: bool) -> tuple[float, float, float, float]:
    """Semi-major axis, eccentricity, inclination and MOID; a faint object is only ever found on a near orbit."""
    near = 0.03 if faint else 0.105 if era == Era.BRIGHT else 0.17
    kind = rng.random()
    inclination = min(rng.expovariate(1 / (11 if faint else 18)), 75.0) + 0.05
    moid = rng.expovariate(1 / near)
    if kind < 0.00025:  # retrograde, on a comet's orbit, which makes the Tisserand parameter negative
        q, a, inclination = rng.uniform(0.8, 1.0), rng.uniform(15, 25), rng.uniform(150, 175)
        e = 1 - q / a
    elif kind < 0.00125:
        a = rng.uniform(0.55, 0.75)
        e = rng.uniform(0.9, 0.98) / a - 1
        moid += 0.983 - a * (1 + e)
    elif kind < 0.08:
        a = 0.6 + 0.399 * rng.betavariate(2.5, 1.2)
        least = 0.984 / a - 1
        e = least + (0.9 - least) * 0.6 * rng.random()
    elif kind < 0.44:
        q = 1.0171 + 0.2828 * rng.random() ** (2 if faint else 1)
        e = rng.uniform(0.08, 0.62)
        a = q / (1 - e)
        moid = q - 1.0167 + moid / 2
    else:
        q = 1.0165 - 0.8 * rng.betavariate(1.0, 2.2)
        a = max(1.001, q + 0.02) + 2.4 * rng.betavariate(1.5, 2.5)
        e = 1 - q / a
    return a, e, inclination, float(f"{moid:.6g}")


def _uncertainty(rng: Random, era: Era) -> int:
    """MPC uncertainty parameter U, 0 (well known) to 9."""
    if era <= Era.NUMBERED:
        return 0 if rng.random() < 0.97 else 1
    return rng.choice((6, 7, 7, 7, 8, 8, 9)) if rng.random() < 0.47 else rng.choice((0, 1, 2, 3, 4, 5))


def _observations(rng: Random, era: Era, uncertainty: int, discovered: date) -> tuple[date, date, date, int]:
    """First and last observation, orbit determination, number of observations."""
    first = discovered + timedelta(days=rng.randrange(13))
    if era <= Era.NUMBERED:
        if rng.random() < 0.5:  # found later on older plates
            first = max(first - timedelta(days=int(rng.expovariate(1 / 1500))), date(1893, 10, 29))
        since, until = (EARTH_CUTOFF_CHANGED, TODAY) if rng.random() < 0.85 else (date(2021, 1, 1), LAST_OLD_ORBIT)
        determined = _day_between(rng, since, until)
        last = max(determined - timedelta(days=1 + int(rng.expovariate(1 / 40))), first + timedelta(days=1))
        return first, last, determined, int(exp(rng.gauss(6.3 if era == Era.BRIGHT else 5.6, 0.8))) + 40
    arc = 1 + rng.expovariate(1 / 15) if uncertainty > 5 else exp(rng.gauss(5.5, 1.3))
    last = min(first + timedelta(days=int(arc) if rng.random() < 0.99 else 0), TODAY - timedelta(days=2))
    determined = last + timedelta(days=rng.randrange(1, 20))
    if era == Era.PROVISIONAL and rng.random() < 0.85:
        determined = max(determined, _day_between(rng, date(2017, 4, 6), LAST_OLD_ORBIT))
    return first, last, min(determined, TODAY), int(exp(rng.gauss(3.7, 0.7))) + 4


def _approaches(
    rng: Random, era: Era, uncertainty: int, q: float, aphelion: float, moid: float, earth_cutoff: float
) -> dict[str, int]:
    """Number of approaches by body, from the bodies that the orbit reaches and the orbit's uncertainty."""
    if era >= Era.LATE:
        return {"Earth": 1 + int(rng.expovariate(1 / 4))} if rng.random() < 0.07 and moid < earth_cutoff else {}
    if uncertainty > 5:  # the orbit is too uncertain to predict approaches far from the discovery
        if moid >= earth_cutoff:
            return {}
        counts = {"Earth": 1 + int(rng.expovariate(1 / 1.5))}
        return counts | {"Moon": 1} if moid < CUTOFFS["Moon"] and rng.random() < 0.15 else counts
    power = DISTANCE_POWERS["Earth"]
    typical = 3.6 if era == Era.PROVISIONAL else 4.0
    passes = min(exp(rng.gauss(typical, 0.75)), 500.0) / 0.5**power  # over three centuries, per au ** power
    counts = {
        "Earth": _whole(rng, passes * (earth_cutoff**power - moid**power)),
        "Moon": _whole(rng, 4 * passes * (CUTOFFS["Moon"] ** power - moid**power)),
    }
    for body, reached, share, mean in (
        ("Venus", q < 0.86, 0.8, 13),
        ("Mars", aphelion > 1.5, 0.35, 3.5),
        ("Juptr", aphelion > 3.2, 0.7, 8),
        ("Merc", q < 0.55, 0.6, 6),
        ("Satrn", aphelion > 8.0, 1.0, 2),
        ("Ceres", aphelion > 2.6, 0.0005, 1),
    ):
        if reached and rng.random() < share:
            counts[body] = 1 + int(rng.expovariate(1 / mean))
    counts["Moon"] = min(counts["Moon"], counts["Earth"])
    return {body: count for body, count in counts.items() if count}


def _whole(rng: Random, expected: float) -> int:
    """A random whole number with the given mean; 0 if the mean is negative."""
    return int(expected + rng.random()) if expected > 0 else 0


def _day_between(rng: Random, first: date, last: date) -> date:
    return first + timedelta(days=rng.randrange((last - first).days + 1))
