"""Telling people of incidents: what each channel is sent, once, whatever fails or dies meanwhile."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.alerts import Busy, tell
from neo_assets.pipeline.channels import Message, PartlyDelivered, Undelivered
from neo_assets.pipeline.incidents import Incident, Kind, Over, State, read
from neo_assets_tests.conftest import disk_and_s3

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = Incident(Kind.RUN, "page set 00000-00001", "it failed", "there", NOON, "raw_pages", "00000-00001")
TWO = replace(ONE, what="page set 00002-00003", page_set="00002-00003")
CHECKED = replace(ONE, kind=Kind.CHECK, what="near_misses_add_up of near_miss_count")


def over(incident: Incident) -> Over:
    return Over(incident.kind, incident.what, NOON + timedelta(minutes=90))


@dataclass
class Told:
    """A channel that remembers the first lines of what it was sent; while it is `down`, it takes nothing."""

    name: str = "told"
    where: str = "here"
    down: BaseException | None = None
    lines: list[str] = field(default_factory=list)
    last: Message = Message("", "")  # noqa: RUF009  # it is frozen

    def send(self, message: Message) -> None:
        if self.down:
            raise self.down
        self.lines.append(message.text.splitlines()[0])
        self.last = message


@disk_and_s3
def test_each_channel_is_told_once_that_something_began_and_once_that_it_is_over(lake: Storage) -> None:
    one, other = Told("one"), Told("other")
    for news in ([ONE], [ONE], [], [over(ONE)], [over(ONE)], []):
        tell(lake, [one, other], news)
    assert one.lines == other.lines == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]
    assert read(lake) == State(), "nothing is left to tell"
    assert not lake.files(layout.ALERTS_LEASE)


def test_a_message_says_what_why_where_and_what_to_do(lake: Storage) -> None:
    channel = Told()
    tell(lake, [channel], [ONE])
    assert channel.last.subject == "neo_assets: Run failed: page set 00000-00001"
    assert channel.last.text.splitlines() == [
        "Run failed: page set 00000-00001",
        "Asset: raw_pages",
        "Page set: 00000-00001",
        "Why: it failed",
        "Since: 2026-03-01 12:00 UTC",
        "See: there",
        "Way out: mend the cause and run `neo run`, or launch the run again; `neo audit --failed` shows the last ones",
        f"Lake: {lake.root}",
    ]
    assert not channel.last.good
    tell(lake, [channel], [over(ONE)])
    assert channel.last.text.splitlines() == [
        "Over: Run failed: page set 00000-00001",
        "- page set 00000-00001: from 2026-03-01 12:00 to 2026-03-01 13:30 UTC",
        f"Lake: {lake.root}",
    ]
    assert channel.last.good


def test_there_is_a_way_out_of_everything(lake: Storage) -> None:
    channel = Told()
    for kind in Kind:
        tell(lake, [channel], [replace(ONE, kind=kind)])
        assert "\nWay out: " in channel.last.text


def test_what_is_found_at_once_is_one_message_of_each_kind(lake: Storage) -> None:
    channel = Told()
    tell(lake, [channel], [ONE, CHECKED, TWO])
    assert channel.lines == ["Run failed: 2 incidents", f"Check failed: {CHECKED.what}"]
    tell(lake, [channel], [over(TWO), over(CHECKED), over(ONE)])
    assert channel.lines[2:] == ["Over: Run failed: 2 incidents", f"Over: Check failed: {CHECKED.what}"]


def test_what_began_and_ended_between_two_looks_is_told_except_at_the_first(lake: Storage) -> None:
    channel = Told()
    tell(lake, [channel], [ONE, over(ONE), TWO], only_open=True)
    assert channel.lines == [f"Run failed: {TWO.what}"]
    tell(lake, [channel], [ONE, over(ONE)])
    assert channel.lines[1:] == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]


def test_what_a_channel_does_not_take_is_sent_when_it_does(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    well, ill = Told("well"), Told("ill", down=Undelivered("example.org is down"))
    tell(lake, [ill, well], [ONE])
    since = read(lake).failing["ill"].since
    state = tell(lake, [ill, well], [over(ONE)])
    assert well.lines == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]
    assert (state.failing["ill"].error, state.failing["ill"].since) == ("example.org is down", since)
    assert caplog.text.count("ill: example.org is down") == 1, "not at each tick"
    ill.down = None
    assert tell(lake, [ill, well], []) == State()
    assert ill.lines == well.lines


def test_what_reached_some_is_not_sent_again(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    channel = Told(down=PartlyDelivered("example.org refused bob@example.org"))
    tell(lake, [channel], [ONE])
    assert "told: example.org refused bob@example.org" in caplog.text
    channel.down = None
    assert tell(lake, [channel], []).failing == {}
    assert channel.lines == []


def test_a_channel_that_is_no_longer_set_is_forgotten(lake: Storage) -> None:
    log, ill = Told("log"), Told("ill", down=Undelivered("example.org is down"))
    tell(lake, [log, ill], [ONE, over(ONE), TWO])
    assert tell(lake, [log], []).failing == {}
    assert [one.what for one in read(lake).incidents] == [TWO.what]


def test_a_channel_that_is_set_later_is_told_what_is_open(lake: Storage) -> None:
    log, late = Told("log"), Told("late")
    tell(lake, [log], [ONE, TWO])
    tell(lake, [log], [over(ONE)])
    tell(lake, [log, late], [])
    assert late.lines == [f"Run failed: {TWO.what}"]


def test_a_killed_process_loses_nothing_and_repeats_only_what_it_was_sending(lake: Storage) -> None:
    first, second = Told("first"), Told("second", down=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        tell(lake, [first, second], [ONE])
    second.down = None
    tell(lake, [first, second], [])
    assert first.lines == second.lines == [f"Run failed: {ONE.what}"]


@disk_and_s3
def test_of_two_processes_one_tells_and_the_other_waits(lake: Storage) -> None:
    class Reentrant(Told):
        def send(self, message: Message) -> None:
            super().send(message)
            with pytest.raises(Busy):
                tell(lake, [Told("log")], [TWO])

    channel = Reentrant("log")
    tell(lake, [channel], [ONE])
    assert channel.lines == [f"Run failed: {ONE.what}"]
    tell(lake, [channel], [])
    assert [one.what for one in read(lake).open] == [ONE.what]


def test_a_lease_lasts_as_long_as_messages_are_sent(lake: Storage) -> None:
    leases: list[str] = []

    class Slow(Told):
        def send(self, message: Message) -> None:
            super().send(message)
            leases.append(json.loads(lake.read(layout.ALERTS_LEASE).to_pybytes())["until"])

    tell(lake, [Slow("one"), Slow("two")], [ONE, CHECKED])
    assert len(leases) == 4
    assert leases == sorted(set(leases)), "each message has a lease of its own"


def test_the_lease_of_another_process_is_left_to_it(lake: Storage) -> None:
    other = b'{"until": "2999-01-01T00:00:00+00:00", "by": "another process"}'

    class Overtaken(Told):
        def send(self, message: Message) -> None:
            super().send(message)
            lake.write(layout.ALERTS_LEASE, other)

    tell(lake, [Overtaken()], [ONE])
    assert lake.read(layout.ALERTS_LEASE).to_pybytes() == other


@pytest.mark.parametrize(
    "lease",
    [b"", b"{}", b"[]", b'{"by": "it", "until": "2026-03-01T12:00:00+00:00"}', b'{"until": "2999-01-01", "by": "it"}'],
)
def test_the_lease_of_a_killed_process_ends(lake: Storage, lease: bytes) -> None:
    lake.write(layout.ALERTS_LEASE, lease)
    channel = Told()
    tell(lake, [channel], [ONE])
    assert channel.lines
    assert not lake.files(layout.ALERTS_LEASE)


def test_nothing_is_written_where_nothing_is_wrong(lake: Storage) -> None:
    assert tell(lake, [Told()], [over(ONE)]) == State()
    assert lake.files("") == []
