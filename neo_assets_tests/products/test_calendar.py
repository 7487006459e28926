"""`upcoming.ics` and `upcoming.csv`: what they say, and what becomes of an event when its approach is revised,
withdrawn or past.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Event

from neo_assets.lake import tables
from neo_assets.lake.storage import LakeLacks, LakeWrong, Storage
from neo_assets.products import index
from neo_assets.products.calendar import Upcoming, read_events, write_upcoming
from neo_assets.products.upcoming import EarthApproaches
from neo_assets.schema.facts import KM_PER_AU
from neo_assets.schema.tables import NEO_RECORDS
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import fingerprints
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import NOON, approach, neo, page

FIRST, SECOND = "00000-00000", "00001-00001"
ICS, CSV = "products/upcoming.ics", "products/upcoming.csv"


def near(day: str = "2026-04-13", au: float = 0.01, minutes: float = 0, **changes: Any) -> dict[str, Any]:
    """An approach to Earth."""
    one = approach(str(au), str(au * KM_PER_AU), day=day)
    return one | {"epoch_date_close_approach": one["epoch_date_close_approach"] + round(minutes * 60_000)} | changes


def made(
    lake: Storage, *neos: dict[str, Any], hours: float = 0, days: float = 0, of: Sequence[str] = (FIRST,)
) -> Upcoming:
    """The products after the first page has come to hold these NEOs, made some days after noon."""
    gather(lake, FIRST, [page(*neos, hours=hours)])
    return write_upcoming(lake, METRICS, of, NOON + timedelta(days=days))


def events(lake: Storage) -> list[Event]:
    return Calendar.from_ical(lake.read(ICS).to_pybytes()).events


def only(lake: Storage) -> Event:
    [event] = events(lake)
    return event


def rows(lake: Storage) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lake.read(CSV).to_pybytes().decode())))


def counts(upcoming: Upcoming) -> tuple[int, int, int]:
    return upcoming.new, upcoming.revised, upcoming.cancelled


class TestWhatTheySay:
    """The content of an event, and of a row."""

    def test_an_event_says_what_is_known_of_its_approach(self, lake: Storage) -> None:
        real = replace(page(neo("3001", near(minutes=1306), name="(2010 PK9)", designation="2010 PK9")), source="nasa")
        gather(lake, FIRST, [real])
        write_upcoming(lake, METRICS, [FIRST], NOON)
        event = only(lake)
        assert event.summary == "2010 PK9 passes Earth at 3.9 LD (predicted)"
        assert event.start == datetime(2026, 4, 13, 21, 46, tzinfo=UTC)
        assert event.description.splitlines() == [
            "Time: 2026-04-13 21:46 UTC (JPL computes times in TDB, today about 69 s ahead of UTC; NeoWs names no time "
            "scale)",
            "Miss distance: 0.010000 au, 3.9 LD (lunar distances of 384,400 km), 1,495,979 km",
            "Velocity relative to Earth: 12.50 km/s",
            "Absolute magnitude H: 20.5",
            "Diameter, estimated from H: 211-472 m",
            "Potentially hazardous: no",
            "JPL: https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr=3001",
            "Source: NASA's NeoWs, with data of JPL",
        ]
        assert (event.status, event.sequence, event.transparency) == ("CONFIRMED", 0, "TRANSPARENT")
        assert event.stamp == event.last_modified == NOON
        assert event["URL"] == "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr=3001"
        assert b"imulated" not in lake.read(ICS).to_pybytes()
        [row] = rows(lake)
        assert row == {
            "close_approach_at_utc": "2026-04-13T21:46Z",
            "name": "2010 PK9",
            "neo_id": "3001",
            "miss_distance_au": "0.01",
            "miss_distance_ld": "3.8917",
            "miss_distance_km": "1495978.7",
            "relative_velocity_km_s": "12.5",
            "absolute_magnitude_h_mag": "20.5",
            "diameter_min_from_h_m": "211.1324448",
            "diameter_max_from_h_m": "472.1064988",
            "is_potentially_hazardous": "false",
            "nasa_jpl_url": "https://ssd.jpl.nasa.gov/tools/sbdb_lookup.html#/?sstr=3001",
            "source": "nasa",
        }

    def test_simulated_data_are_marked_everywhere(self, lake: Storage) -> None:
        made(lake, neo("1", near()))
        whole = Calendar.from_ical(lake.read(ICS).to_pybytes())
        assert whole.calendar_name == "Close approaches to Earth (simulated)"
        assert whole.description.startswith("Simulated: these objects are made up. ")
        assert whole.events[0].summary.startswith("Simulated: ")
        assert whole.events[0].description.endswith("Source: a simulator; this object is made up.")
        assert rows(lake)[0]["source"] == "simulator"

    def test_what_is_not_known_is_said_or_left_empty(self, lake: Storage) -> None:
        gone = {"absolute_magnitude_h": ..., "estimated_diameter": ..., "nasa_jpl_url": ...}
        made(lake, neo("1", near(), is_potentially_hazardous_asteroid=..., **gone))
        lines = only(lake).description.splitlines()
        assert "Absolute magnitude H: not known" in lines
        assert "Diameter, estimated from H: not known" in lines
        assert "Potentially hazardous: not known" in lines
        assert not [line for line in lines if line.startswith("JPL")]
        unknown = ("absolute_magnitude_h_mag", "diameter_max_from_h_m", "is_potentially_hazardous", "nasa_jpl_url")
        assert {rows(lake)[0][name] for name in unknown} == {""}

    @pytest.mark.parametrize(
        "name",
        [
            "99942 Apophis (2004 MN4)",
            'a, b; c: d \\n e \\, "f"',
            "’Oumuamua ☄ " * 12,
            "in\r\ntwo lines\tBEGIN:VEVENT",
            "bell\x07",
        ],
    )
    def test_any_name_survives_escaping_and_folding(self, lake: Storage, name: str) -> None:
        made(lake, neo("1", near(), name=name, designation=name))
        shown = " ".join(name.split()).replace("\x07", "\\x07")
        assert only(lake).summary == f"Simulated: {shown} passes Earth at 3.9 LD (predicted)"
        assert rows(lake)[0]["name"] == shown
        data = lake.read(ICS).to_pybytes()
        assert data.endswith(b"END:VCALENDAR\r\n")
        assert b"\n" not in data.replace(b"\r\n", b"")
        assert max(len(line) for line in data.split(b"\r\n")) <= 75
        assert made(lake, neo("1", near(), name=name, designation=name), hours=1).revised == 0

    def test_both_are_in_the_index_of_products(self, lake: Storage) -> None:
        made(lake, neo("1", near()), neo("2", near()))
        made(lake, neo("1", near()), hours=1)
        entries = index.read(lake)
        assert {name: one.rows for name, one in entries.items()} == {"upcoming.ics": 2, "upcoming.csv": 1}
        for name, one in entries.items():
            assert index.current(lake, name, one.origin) == one

    def test_the_library_reads_what_it_wrote(self, lake: Storage) -> None:
        made(lake, *(neo(str(number), near(f"2026-05-{number + 1:02}", minutes=number)) for number in range(1, 20)))
        data = lake.read(ICS).to_pybytes()
        assert Calendar.from_ical(data).to_ical() == data
        assert len(read_events(data)) == len(rows(lake)) == 19
        assert {f"{event.start:%z}" for event in events(lake)} == {"+0000"}
        assert b"TZID" not in data

    def test_both_are_in_the_order_of_time(self, lake: Storage) -> None:
        made(lake, neo("1", near("2026-09-01"), near("2026-05-01")), neo("2", near("2026-07-01")))
        days = [f"{event.start:%Y-%m-%d}" for event in events(lake)]
        assert days == ["2026-05-01", "2026-07-01", "2026-09-01"]
        assert [row["close_approach_at_utc"][:10] for row in rows(lake)] == days


class TestWhichApproaches:
    """Near enough, to Earth, of today or of the next 365 days."""

    @pytest.mark.parametrize(
        ("one", "shown"),
        [
            (near(au=0.05), True),
            (near(au=0.0500001), False),
            (near(orbiting_body="Venus"), False),
            (near("2026-02-28", minutes=1439), False),
            (near("2026-03-01"), True),
            (near("2027-03-01", minutes=1439), True),
            (near("2027-03-02"), False),
        ],
    )
    def test_the_bounds(self, lake: Storage, one: dict[str, Any], shown: bool) -> None:
        made(lake, neo("1", one))
        assert len(events(lake)) == len(rows(lake)) == shown

    def test_without_any_the_files_are_there_and_empty(self, lake: Storage) -> None:
        assert counts(made(lake, neo("1"))) == (0, 0, 0)
        assert events(lake) == []
        assert lake.read(CSV).to_pybytes().startswith(b'"close_approach_at_utc","name"')

    def test_an_empty_lake_is_an_error_with_the_way_out(self, lake: Storage) -> None:
        with pytest.raises(LakeLacks, match="holds no NEOs yet: run `neo run`"):
            write_upcoming(lake, METRICS, [FIRST], NOON)

    def test_tables_that_contradict_each_other_are_an_error(self, lake: Storage) -> None:
        gather(lake, FIRST, [page(neo("1", near()))])
        records = tables.read_table(lake, NEO_RECORDS, FIRST)
        tables.write_table(lake, NEO_RECORDS, records.slice(0, 0), FIRST)
        with pytest.raises(LakeWrong, match="changed, or do not fit together: run `neo run`"):
            write_upcoming(lake, METRICS, [FIRST], NOON)

    def test_a_change_while_reading_is_an_error(self, lake: Storage) -> None:
        gather(lake, FIRST, [page(neo("1", near()))])
        approaches = EarthApproaches(lake, METRICS, [FIRST])
        gather(lake, FIRST, [page(neo("1", near(au=0.03)), hours=1)])
        with pytest.raises(LakeWrong, match="changed"):
            approaches.between(NOON, NOON + timedelta(days=365))

    def test_each_neo_is_shown_once(self, lake: Storage) -> None:
        gather(lake, SECOND, [page(neo("1", near(au=0.02)), number=1, hours=1)])
        made(lake, neo("1", near(au=0.01)), of=[FIRST, SECOND])
        assert [row["miss_distance_au"] for row in rows(lake)] == ["0.02"]

    def test_a_past_approach_drops_out(self, lake: Storage) -> None:
        one = neo("1", near("2026-03-01"), near("2026-08-01"))
        made(lake, one)
        assert len(events(lake)) == 2
        assert counts(made(lake, one, days=1)) == (0, 0, 0)
        assert only(lake).start.month == 8


class TestRevisions:
    """An event keeps its UID; its SEQUENCE rises when anything in it changes."""

    @disk_and_s3
    def test_the_same_data_give_the_same_bytes_and_write_nothing(self, lake: Storage) -> None:
        one = neo("1", near())
        assert counts(made(lake, one)) == (1, 0, 0)
        before = fingerprints(lake)
        assert counts(write_upcoming(lake, METRICS, [FIRST], NOON + timedelta(hours=11))) == (0, 0, 0)
        assert fingerprints(lake) == before
        data = lake.read(ICS)
        assert counts(made(lake, one, hours=5, days=3)) == (0, 0, 0)
        assert lake.read(ICS) == data
        lake.delete(ICS)
        write_upcoming(lake, METRICS, [FIRST], NOON)
        assert only(lake).stamp == NOON + timedelta(hours=5), "the time of the page, not of the clock"

    @pytest.mark.parametrize(
        "revised",
        [
            neo("1", near(minutes=1)),
            neo("1", near("2026-04-20")),
            neo("1", near("2026-04-05")),
            neo("1", near(au=0.010001)),
            neo("1", near(relative_velocity={"kilometers_per_second": "12.6"})),
            neo("1", near(), name="(1 XZ)"),
            neo("1", near(), absolute_magnitude_h=20.6),
            neo("1", near(), is_potentially_hazardous_asteroid=True),
        ],
    )
    def test_a_revised_event_keeps_its_uid(self, lake: Storage, revised: dict[str, Any]) -> None:
        made(lake, neo("1", near()))
        first = only(lake)
        assert counts(made(lake, revised, hours=2)) == (0, 1, 0)
        second = only(lake)
        assert (second.uid, second.sequence, second.status) == (first.uid, 1, "CONFIRMED")
        assert second.stamp == second.last_modified == NOON + timedelta(hours=2)
        assert counts(made(lake, revised, hours=3)) == (0, 0, 0)

    def test_a_numbered_neo_keeps_its_events(self, lake: Storage) -> None:
        made(lake, neo("54001", near(), name="(2022 AC30)", designation="2022 AC30"))
        first = only(lake)
        made(lake, neo("2659955", near(), name="659955 (2022 AC30)", designation="659955"), hours=1)
        assert (only(lake).uid, only(lake).sequence) == (first.uid, 1)
        assert "659955 (2022 AC30) passes" in only(lake).summary

    def test_two_approaches_of_a_neo_do_not_change_places(self, lake: Storage) -> None:
        made(lake, neo("1", near("2026-04-01"), near("2026-04-06")))
        before = [event.uid for event in events(lake)]
        made(lake, neo("1", near("2026-04-05"), near("2026-04-10")), hours=1)
        assert [event.uid for event in events(lake)] == before

    def test_a_new_approach_on_the_former_date_of_another_has_a_uid_of_its_own(self, lake: Storage) -> None:
        made(lake, neo("1", near("2026-04-01")))
        made(lake, neo("1", near("2026-04-09")), hours=1)
        made(lake, neo("1", near("2026-04-01"), near("2026-04-09")), hours=2)
        assert [event.uid for event in events(lake)] == [
            "2026-04-01-2.Earth.1+XY@neo_assets",
            "2026-04-01.Earth.1+XY@neo_assets",
        ]

    def test_a_past_approach_does_not_take_a_later_ones_event(self, lake: Storage) -> None:
        made(lake, neo("1", near("2026-03-01"), near("2026-03-04", au=0.06)))
        made(lake, neo("1", near("2026-03-01"), near("2026-03-04", au=0.04)), hours=1, days=1)
        assert only(lake).uid.startswith("2026-03-04.")


class TestWithdrawals:
    """An event is cancelled when its approach is no longer shown, and stays until its date has passed."""

    @pytest.mark.parametrize(
        "left",
        [
            [neo("1")],
            [neo("2")],
            [neo("1", near("2026-06-01", au=0.1))],
            [neo("1", near(au=0.051))],
            [neo("1", near(orbiting_body="Moon"))],
        ],
    )
    def test_a_withdrawn_event_is_cancelled_and_comes_back(self, lake: Storage, left: list[dict[str, Any]]) -> None:
        made(lake, neo("1", near()))
        first = only(lake)
        assert counts(made(lake, *left, hours=1)) == (0, 0, 1)
        assert rows(lake) == []
        cancelled = only(lake)
        assert (cancelled.uid, cancelled.sequence, cancelled.status) == (first.uid, 1, "CANCELLED")
        assert (cancelled.start, cancelled.stamp) == (first.start, NOON + timedelta(hours=1))
        assert cancelled.description.startswith("Withdrawn: ")
        assert counts(made(lake, *left, hours=2, days=43)) == (0, 0, 0)
        assert only(lake).to_ical() == cancelled.to_ical()
        assert counts(made(lake, neo("1", near()), hours=3, days=43)) == (0, 1, 0)
        assert (only(lake).uid, only(lake).sequence, only(lake).status) == (first.uid, 2, "CONFIRMED")
        assert only(lake).description == first.description

    def test_a_cancelled_event_drops_out_when_its_date_has_passed(self, lake: Storage) -> None:
        made(lake, neo("1", near()))
        made(lake, neo("1"), hours=1)
        write_upcoming(lake, METRICS, [FIRST], NOON + timedelta(days=44))
        assert events(lake) == []

    def test_a_cancelled_event_does_not_take_the_approach_of_another(self, lake: Storage) -> None:
        made(lake, neo("1", near("2026-04-01"), near("2026-04-06")))
        kept = events(lake)[1].uid
        made(lake, neo("1", near("2026-04-06")), hours=1)
        made(lake, neo("1", near("2026-04-02")), hours=2)
        assert {event.uid == kept: event.status for event in events(lake)} == {False: "CANCELLED", True: "CONFIRMED"}

    def test_nothing_is_cancelled_because_a_page_set_is_missing(self, lake: Storage) -> None:
        gather(lake, SECOND, [page(neo("2", near("2026-05-01")), number=1)])
        made(lake, neo("1", near()), of=[FIRST, SECOND])
        before = events(lake)
        lake.delete(f"silver/neo_sightings/page_set={SECOND}/data.parquet")
        assert counts(write_upcoming(lake, METRICS, [FIRST, SECOND], NOON)) == (0, 0, 0)
        assert events(lake) == before
        assert write_upcoming(lake, METRICS, [FIRST], NOON).cancelled == 1, "the page set is not asked for any longer"


class TestDamage:
    """A calendar that cannot be read is set aside, and made anew."""

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"",
            lambda data: b"\x00\xff",
            lambda data: data[:300],
            lambda data: data.replace(b"neo_assets//close", b"others//close"),
            lambda data: data.replace(b"DTSTART:2026", b"DTSTART:x"),
            lambda data: data.replace(b"DTSTART:20260413T000000Z", b"DTSTART;VALUE=DATE:20260413"),
            lambda data: data.replace(b"DTSTART:20260413T000000Z\r\n", b""),
            lambda data: data.replace(b"LAST-MODIFIED:2026", b"LAST-MODIFIED:x"),
            lambda data: data.replace(b"SEQUENCE:0", b"SEQUENCE:x"),
            lambda data: data.replace(b"STATUS:CONFIRMED", b"STATUS:TENTATIVE"),
            lambda data: data.replace(b"UID:2026-04-13.Earth.", b"UID:"),
            lambda data: data.replace(b"UID:2026-04-13.Earth.1+XY@neo_assets\r\n", b""),
            lambda data: data.replace(b"END:VCALENDAR", data[data.index(b"BEGIN:VEVENT") :].rstrip()),
        ],
    )
    def test_a_damaged_calendar_is_set_aside(
        self, lake: Storage, damage: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        made(lake, neo("1", near()))
        good = lake.read(ICS).to_pybytes()
        bad = damage(good)
        assert bad != good
        lake.write(ICS, bad)
        assert counts(write_upcoming(lake, METRICS, [FIRST], NOON)) == (1, 0, 0)
        assert lake.read(ICS).to_pybytes() == good
        [warning] = caplog.messages
        kept = f"{lake.root}/quarantine/products/"
        assert warning.startswith(f"{lake.location(ICS)} is damaged (")
        path = warning[warning.index(kept) :].removeprefix(f"{lake.root}/")
        assert lake.read(path).to_pybytes() == bad


NEOS = ("1", "2")
SEASONS = (60, 180, 300)
"""Where the approaches of a NEO are, in days from noon."""

APPROACHES = st.builds(
    lambda moved, au: (moved, au), st.integers(-4 * 1440, 4 * 1440), st.sampled_from((0.01, 0.02, 0.049, 0.051))
)
STATES = st.fixed_dictionaries({(name, season): st.none() | APPROACHES for name in NEOS for season in SEASONS})
"""The approaches of a lake: by NEO and season, by how many minutes a new orbit moved it, and the distance in au."""


@settings(max_examples=10)
@given(states=st.lists(st.tuples(STATES, st.integers(0, 40)), min_size=2, max_size=5))
def test_whatever_is_revised_uids_stay_and_sequences_rise(
    tmp_path_factory: pytest.TempPathFactory, states: list[tuple[dict[tuple[str, int], tuple[int, float] | None], int]]
) -> None:
    lake, day, before = Storage(str(tmp_path_factory.mktemp("place"))), 0, dict[str, Event]()
    known: dict[tuple[str, int], str] = {}
    for hours, (state, later) in enumerate(states):
        day += later
        now = NOON + timedelta(days=day)
        neos = (neo(name, *filter(None, (_moved(one, state[name, one]) for one in SEASONS))) for name in NEOS)
        made(lake, *neos, hours=hours, days=day)
        after = {str(event.uid): event for event in events(lake)}
        assert len(after) == len(events(lake))
        for key, place in state.items():
            at = NOON + timedelta(days=key[1], minutes=place[0]) if place else NOON
            [*uids] = (uid for uid, one in after.items() if one.start == at and f".{key[0]}+XY@" in uid)
            if place and place[1] <= 0.05 and at.date() >= now.date():
                [uid] = (uid for uid in uids if after[uid].status == "CONFIRMED")
                assert known.get(key) in (None, uid) or known[key] not in before, "while it is there, it has one UID"
                known[key] = uid
            else:
                assert not [uid for uid in uids if after[uid].status == "CONFIRMED"]
        for uid in before.keys() & after.keys():
            same = before[uid].to_ical() == after[uid].to_ical()
            assert after[uid].sequence == before[uid].sequence + (not same)
            assert after[uid].stamp >= before[uid].stamp
        for uid in before.keys() - after.keys():
            assert f"{before[uid].start:%Y-%m-%d}" < f"{now:%Y-%m-%d}"
        before = after


def _moved(season: int, place: tuple[int, float] | None) -> dict[str, Any] | None:
    if place is None:
        return None
    at = NOON + timedelta(days=season, minutes=place[0])
    return near(f"{at:%Y-%m-%d}", place[1], at.hour * 60 + at.minute)
