"""Checks of identities in NeoWs's data: what one value says about another. Rules about a single column are in `schema`;
checks that nothing is lost between tables live in `completeness`.
"""

from math import sqrt

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.orchestration.checks.check import FETCHED_AGAIN, Verdict
from neo_assets.orchestration.checks.derived import count
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline.text import first_few
from neo_assets.schema.facts import DAYS_APART, KM_PER_AU
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS

_ROUNDING = 1e-6
"""Relative difference allowed between km and au: pages from before 2018 round them independently, by up to 8e-8."""

_METRES_AT_ALBEDO_1 = 1_329_000
"""Diameter of a NEO of H = 0 that reflects all light (https://cneos.jpl.nasa.gov/tools/ast_size_est.html)."""

_ALBEDOS = {"estimated_diameter_min_m": 0.25, "estimated_diameter_max_m": 0.05}

_ROUNDED_DIAMETER = 1e-9
"""Relative difference allowed between a diameter and what H gives: NeoWs rounds to 10 decimals of a kilometre, which is
up to 3e-11 of the smallest NEOs.
"""

_ROUNDED_ELEMENT = 1e-9
"""Relative difference allowed between an element and what others give: 16 digits are printed. In 3,185 real orbits the
largest is 9e-16.
"""

_HAZARDOUS_AU, _HAZARDOUS_H = 0.05, 22
"""Largest MOID and H of a potentially hazardous asteroid (https://cneos.jpl.nasa.gov/about/neo_groups.html)."""

_ROUNDED_H = 0.15
"""Within this of the limit, H decides nothing: until about 2021 NeoWs rounded it, and flags may be of older orbits. Of
3,188 real NEOs, 10 are flagged unlike their MOID and H, all of them within 0.1 of the limit.
"""


def units_and_times_agree(read: Read, page_set: str) -> Verdict:
    """The miss distance is the same in km and au, and the time of each approach is on its date, give or take a day."""
    rows = read(CLOSE_APPROACHES)
    apart = pc.abs(pc.days_between(rows["close_approach_date"], pc.cast(rows["close_approach_at"], pa.date32())))
    off = pc.abs(pc.subtract(rows["miss_distance_km"], pc.multiply(rows["miss_distance_au"], float(KM_PER_AU))))
    counts = {
        "km and au disagree": count(pc.greater(off, pc.multiply(rows["miss_distance_km"], _ROUNDING))),
        "date and time disagree": count(pc.greater(apart, DAYS_APART)),
    }
    return not any(counts.values()), counts


def diameter_follows_from_h(read: Read, page_set: str) -> Verdict:
    """Both diameters are those of a NEO of magnitude H at an albedo of 0.25 and 0.05, and are known if H is."""
    rows = read(NEO_RECORDS)
    h = rows["absolute_magnitude_h"]
    scale = pc.power(10.0, pc.divide(h, -5.0))
    counts = {}
    for name, albedo in _ALBEDOS.items():
        expected = pc.multiply(scale, _METRES_AT_ALBEDO_1 / sqrt(albedo))
        off = pc.abs(pc.subtract(rows[name], expected))
        counts[f"{name} differs"] = count(pc.greater(off, pc.multiply(expected, _ROUNDED_DIAMETER)))
        counts[f"{name} without H, or H without it"] = count(pc.xor(pc.is_null(rows[name]), pc.is_null(h)))
    return not any(counts.values()), counts


def hazard_follows_from_moid_and_h(read: Read, page_set: str) -> Verdict:
    """A NEO is called potentially hazardous exactly if its MOID is at most 0.05 au and its H at most 22."""
    if read.raw.fetched_again:
        return FETCHED_AGAIN
    moids = {seen.neo_id: seen.moid_au for _, _, seen in read.raw.objects}
    columns = ("id", "absolute_magnitude_h", "is_potentially_hazardous_asteroid")
    unlike: dict[str, list[str]] = {"flagged": [], "not flagged": []}
    known = 0
    for neo_id, h, flagged in zip(*(read(NEO_RECORDS)[name].to_pylist() for name in columns), strict=True):
        moid = moids.get(neo_id)
        if moid is None or h is None or flagged is None or abs(h - _HAZARDOUS_H) <= _ROUNDED_H:
            continue
        known += 1
        if flagged != (moid <= _HAZARDOUS_AU and h < _HAZARDOUS_H):
            unlike["flagged" if flagged else "not flagged"].append(neo_id)
    wrong = {f"{how}, against MOID and H": first_few(ids) for how, ids in unlike.items() if ids}
    return not wrong, {"NEOs of known MOID and H": known} | wrong


def closest_approach_is_the_nearest(read: Read, page_set: str) -> Verdict:
    """The closest approach of each NEO is its approach with the smallest miss distance, the earliest on a tie."""
    rows, nearest = read(NEO_RECORDS), _nearest(read(CLOSE_APPROACHES))
    of_each = nearest.take(pc.index_in(rows["id"], nearest["neo_id"].combine_chunks()))
    counts = {
        name: count(_differ(rows[f"closest_approach_{name}"], of_each[column]))
        for name, column in {
            "miss_distance_km": "miss_distance_km",
            "date": "close_approach_date",
            "relative_velocity_km_s": "relative_velocity_km_s",
        }.items()
    }
    return not any(counts.values()), {f"NEOs with another {name}": number for name, number in counts.items()}


def elements_agree(read: Read, page_set: str) -> Verdict:
    """Both distances to the Sun follow from semi-major axis and eccentricity."""
    rows = read(ORBITS)
    axis, eccentricity = rows["semi_major_axis_au"], rows["eccentricity"]
    counts = {}
    for name, of_axis in (
        ("perihelion_distance_au", pc.subtract(1.0, eccentricity)),
        ("aphelion_distance_au", pc.add(1.0, eccentricity)),
    ):
        off = pc.abs(pc.subtract(pc.multiply(axis, of_axis), rows[name]))
        counts[f"{name} differs"] = count(pc.greater(off, pc.multiply(rows[name], _ROUNDED_ELEMENT)))
    return not any(counts.values()), counts


def _nearest(approaches: pa.Table) -> pa.Table:
    """The nearest approaches of each NEO, the earliest of them first."""
    for column in ("miss_distance_km", "close_approach_at"):
        least = approaches.group_by("neo_id").aggregate([(column, "min")])
        place = pc.index_in(approaches["neo_id"], least["neo_id"].combine_chunks())
        approaches = approaches.filter(pc.equal(approaches[column], least[f"{column}_min"].take(place)))
    return approaches


def _differ(stored: pa.ChunkedArray, again: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where two columns differ, also if only one of them has a value."""
    return pc.or_(
        pc.fill_null(pc.not_equal(stored, again), False),
        pc.xor(pc.is_null(stored), pc.is_null(again)),
    )
