"""Well-known close approaches, which real data must show. Identities between columns live in `identities`."""

from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc

from neo_assets.lake import tables
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.read import Read
from neo_assets.schema.tables import CLOSE_APPROACHES


@dataclass(frozen=True)
class Event:
    """A close approach to Earth that JPL publishes, with its distance in au and how far NeoWs may be off."""

    neo_id: str
    name: str
    day: date
    au: float
    tolerance: float = 1e-5


EVENTS = (
    Event("2099942", "99942 Apophis", date(2029, 4, 13), 0.000254, 5e-6),
    Event("2153814", "153814 (2001 WN5)", date(2028, 6, 26), 0.001663),
    Event("2137108", "137108 (1999 AN10)", date(2027, 8, 7), 0.002606),
    Event("2035396", "35396 (1997 XF11)", date(2028, 10, 26), 0.006212),
    Event("2000433", "433 Eros", date(2012, 1, 31), 0.178676),
    Event("2004179", "4179 Toutatis", date(2004, 9, 29), 0.010357),
    Event("2004581", "4581 Asclepius", date(1989, 3, 22), 0.004572),
    Event("2069230", "69230 Hermes", date(1937, 10, 30), 0.004950),
)
"""Source: JPL's close-approach data (https://cneos.jpl.nasa.gov/ca/). As orbits are refined, future approaches move, by
up to 2e-6 au in five years.
"""


def known_events_are_there(read: Read, page_set: str) -> Verdict:
    """Well-known approaches to Earth have their distance, if the page set has them and the data are NASA's."""
    rows = read(CLOSE_APPROACHES)
    if tables.fact(rows, tables.SOURCE) != "nasa":
        return True, {"not checked": "the data are simulated"}
    to_earth = rows.filter(pc.equal(rows["orbiting_body"], "Earth"))
    seen, wrong = 0, {}
    for event in EVENTS:
        same = pc.and_(pc.equal(to_earth["neo_id"], event.neo_id), pc.equal(to_earth["close_approach_date"], event.day))
        for au in to_earth.filter(same)["miss_distance_au"].to_pylist():
            seen += 1
            if abs(au - event.au) > event.tolerance:
                wrong[f"{event.name} on {event.day}"] = f"{au} au instead of {event.au}"
    return not wrong, {"events seen": seen} | wrong
