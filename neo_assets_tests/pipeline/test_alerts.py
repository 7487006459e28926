"""Reporting incidents: what each channel is sent, once, whatever fails or dies meanwhile."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from neo_assets.lake import layout
from neo_assets.lake.lease import Busy
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.alerts import report
from neo_assets.pipeline.channels import Message, PartlyDelivered, Undelivered
from neo_assets.pipeline.incidents import Incident, Kind, Over, State, read
from neo_assets_tests.conftest import disk_and_s3

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = Incident(Kind.RUN, "page set 00000-00001", "it failed", NOON, "raw_pages", "00000-00001", where="there")
TWO = replace(ONE, what="page set 00002-00003", page_set="00002-00003")
CHECKED = replace(ONE, kind=Kind.CHECK, what="recount_of_near_miss_count of near_miss_count")


def over(incident: Incident, at: datetime = NOON + timedelta(minutes=90)) -> Over:
    return Over(incident.kind, incident.what, at)


@dataclass
class Recording:
    """A channel that remembers the first lines of what it was sent; while it is `down`, it takes nothing."""

    name: str = "recording"
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
def test_that_something_began_and_that_it_is_over_is_reported_to_each_channel_once(lake: Storage) -> None:
    one, other = Recording("one"), Recording("other")
    for news in ([ONE], [ONE], [], [over(ONE)], [over(ONE)], []):
        report(lake, [one, other], news)
    assert one.lines == other.lines == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]
    assert read(lake) == State(), "nothing is left to report"


def test_a_message_says_what_why_where_and_what_to_do(lake: Storage) -> None:
    channel = Recording()
    report(lake, [channel], [ONE])
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
    report(lake, [channel], [over(ONE)])
    assert channel.last.text.splitlines() == [
        "Over: Run failed: page set 00000-00001",
        "- page set 00000-00001: from 2026-03-01 12:00 to 2026-03-01 13:30 UTC",
        f"Lake: {lake.root}",
    ]
    assert channel.last.good


def test_what_ends_for_another_reason_than_that_it_is_well_says_so(lake: Storage) -> None:
    channel = Recording()
    report(lake, [channel], [ONE])
    report(lake, [channel], [replace(over(ONE), because="the page set is no longer requested")])
    assert channel.last.text.splitlines()[1] == (
        "- page set 00000-00001: from 2026-03-01 12:00 to 2026-03-01 13:30 UTC: the page set is no longer requested"
    )


def test_there_is_a_way_out_of_everything(lake: Storage) -> None:
    channel = Recording()
    for kind in Kind:
        report(lake, [channel], [replace(ONE, kind=kind)])
        assert "\nWay out: " in channel.last.text


def test_what_is_found_at_once_is_one_message_of_each_kind(lake: Storage) -> None:
    channel = Recording()
    report(lake, [channel], [ONE, CHECKED, TWO])
    assert channel.lines == ["Run failed: 2 incidents", f"Check failed: {CHECKED.what}"]
    report(lake, [channel], [over(TWO), over(CHECKED), over(ONE)])
    assert channel.lines[2:] == ["Over: Run failed: 2 incidents", f"Over: Check failed: {CHECKED.what}"]


def test_what_began_and_ended_between_two_looks_is_reported_except_at_the_first(lake: Storage) -> None:
    channel = Recording()
    report(lake, [channel], [ONE, over(ONE), TWO], only_open=True)
    assert channel.lines == [f"Run failed: {TWO.what}"]
    report(lake, [channel], [ONE, over(ONE)])
    assert channel.lines[1:] == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]


def test_what_a_channel_does_not_take_is_sent_when_it_does(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    well, ill = Recording("well"), Recording("ill", down=Undelivered("example.org is down"))
    report(lake, [ill, well], [ONE])
    since = read(lake).failing["ill"].since
    state = report(lake, [ill, well], [over(ONE, datetime.now(UTC))])
    assert well.lines == [f"Run failed: {ONE.what}", f"Over: Run failed: {ONE.what}"]
    assert (state.failing["ill"].error, state.failing["ill"].since) == ("example.org is down", since)
    assert caplog.text.count("ill: example.org is down") == 1, "not at each tick"
    ill.down = None
    assert report(lake, [ill, well], []) == State()
    assert ill.lines == well.lines


def test_what_is_over_waits_a_week_for_a_channel_that_takes_nothing(
    lake: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    well, ill = Recording("well"), Recording("ill", down=Undelivered("example.org is down"))
    a_week_ago = datetime.now(UTC) - timedelta(days=7)
    report(lake, [well, ill], [ONE, TWO, CHECKED])
    report(
        lake, [well, ill], [over(ONE, a_week_ago - timedelta(minutes=1)), over(TWO, a_week_ago + timedelta(minutes=1))]
    )
    assert read(lake).incidents == report(lake, [well, ill], []).incidents
    assert [one.what for one in read(lake).incidents] == [TWO.what, CHECKED.what], "what is not over is kept"
    assert caplog.text.count("1 incident dropped, over for a week and not reported to: ill") == 1
    assert "Over: Run failed: 2 incidents" in well.lines, "other channels lose nothing"


def test_what_reached_some_is_not_sent_again(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    channel = Recording(down=PartlyDelivered("example.org refused bob@example.org"))
    report(lake, [channel], [ONE])
    assert "recording: example.org refused bob@example.org" in caplog.text
    channel.down = None
    assert report(lake, [channel], []).failing == {}
    assert channel.lines == []


def test_a_channel_that_is_no_longer_set_is_forgotten(lake: Storage) -> None:
    log, ill = Recording("log"), Recording("ill", down=Undelivered("example.org is down"))
    report(lake, [log, ill], [ONE, over(ONE), TWO])
    assert report(lake, [log], []).failing == {}
    assert [one.what for one in read(lake).incidents] == [TWO.what]


def test_a_channel_that_is_set_later_gets_what_is_open(lake: Storage) -> None:
    log, late = Recording("log"), Recording("late")
    report(lake, [log], [ONE, TWO])
    report(lake, [log], [over(ONE)])
    report(lake, [log, late], [])
    assert late.lines == [f"Run failed: {TWO.what}"]


def test_a_killed_process_loses_nothing_and_repeats_only_what_it_was_sending(lake: Storage) -> None:
    first, second = Recording("first"), Recording("second", down=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        report(lake, [first, second], [ONE])
    second.down = None
    report(lake, [first, second], [])
    assert first.lines == second.lines == [f"Run failed: {ONE.what}"]


@disk_and_s3
def test_of_two_processes_one_reports_and_the_other_waits(lake: Storage) -> None:
    class Reentrant(Recording):
        def send(self, message: Message) -> None:
            super().send(message)
            with pytest.raises(Busy):
                report(lake, [Recording("log")], [TWO])

    channel = Reentrant("log")
    report(lake, [channel], [ONE])
    assert channel.lines == [f"Run failed: {ONE.what}"]
    report(lake, [channel], [])
    assert [one.what for one in read(lake).open] == [ONE.what]


def test_a_process_that_lost_its_lease_while_it_sent_does_not_undo_what_another_has_kept(lake: Storage) -> None:
    class Suspended(Recording):
        def send(self, message: Message) -> None:
            super().send(message)
            [lease] = lake.files(layout.ALERTS_LEASES)
            lake.write(lease.path, b"{}")  # it has ended
            report(lake, [Recording(self.name)], [TWO])

    with pytest.raises(Busy):
        report(lake, [Suspended()], [ONE])
    assert [one.what for one in read(lake).open] == [ONE.what, TWO.what]


def test_a_lease_lasts_as_long_as_messages_are_sent(lake: Storage) -> None:
    leases: list[str] = []

    class Slow(Recording):
        def send(self, message: Message) -> None:
            super().send(message)
            [lease] = lake.files(layout.ALERTS_LEASES)
            leases.append(json.loads(lake.read(lease.path).to_pybytes())["until"])

    report(lake, [Slow("one"), Slow("two")], [ONE, CHECKED])
    assert len(leases) == 4
    assert leases == sorted(set(leases)), "each message has a lease of its own"


def test_nothing_is_written_where_nothing_is_wrong(lake: Storage) -> None:
    assert report(lake, [Recording()], [over(ONE)]) == State()
    assert lake.files("") == []
