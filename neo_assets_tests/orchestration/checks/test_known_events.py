"""Known events: real data must show well-known approaches at their distance; simulated data need not."""

import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.orchestration.checks.known_events import EVENTS, Event, known_events_are_there
from neo_assets.orchestration.checks.read import Read
from neo_assets_tests.pipeline.by_hand import gather
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST = "00000-00000"


def judged(lake: Storage, event: Event, au: float, day: str = "", source: str = "nasa") -> Verdict:
    owner.claim(lake, source)
    near = approach(f"{au:.10f}", f"{au * 149_597_870:.4f}", day or event.day.isoformat())
    gather(lake, FIRST, [page(neo(event.neo_id, near, approach("0.0001", "14959.787", body="Venus")))])
    return known_events_are_there(Read(lake, FIRST), FIRST)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
@pytest.mark.parametrize("way", [-1, 1])
def test_an_event_may_be_off_by_its_tolerance_only(lake: Storage, event: Event, way: int) -> None:
    assert judged(lake, event, event.au + way * 0.9 * event.tolerance) == (True, {"events seen": 1})
    passed, figures = judged(lake, event, event.au + way * 1.1 * event.tolerance)
    assert not passed
    assert f"au instead of {event.au}" in figures[f"{event.name} on {event.day}"]


def test_an_event_is_not_sought_where_its_date_is_not(lake: Storage) -> None:
    assert judged(lake, EVENTS[0], 0.1, "2030-04-13") == (True, {"events seen": 0})


def test_simulated_data_are_not_held_against_known_events(lake: Storage) -> None:
    assert judged(lake, EVENTS[0], 0.1, source="simulator") == (True, {"not checked": "the data are simulated"})


def test_the_events_are_those_that_jpl_publishes() -> None:
    """Their numbers are repeated here on purpose: with a slip in one, the check would fail on true data, or never."""
    assert {(one.neo_id, one.day.isoformat()): (one.au, one.tolerance) for one in EVENTS} == {
        ("2099942", "2029-04-13"): (0.000254, 5e-6),
        ("2153814", "2028-06-26"): (0.001663, 1e-5),
        ("2137108", "2027-08-07"): (0.002606, 1e-5),
        ("2035396", "2028-10-26"): (0.006212, 1e-5),
        ("2000433", "2012-01-31"): (0.178676, 1e-5),
        ("2004179", "2004-09-29"): (0.010357, 1e-5),
        ("2004581", "1989-03-22"): (0.004572, 1e-5),
        ("2069230", "1937-10-30"): (0.004950, 1e-5),
    }
