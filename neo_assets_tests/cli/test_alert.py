"""`neo alert`: what it says of each channel, and of alerts that are open."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.pipeline.incidents import Failing, Incident, Kind, State, write
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.sinks import PASSWORD, SECRET, USER, mail_server, webhook

Neo = Callable[..., Ended]


def test_without_settings_it_writes_to_the_log_and_says_so(neo: Neo, caplog: pytest.LogCaptureFixture) -> None:
    ended = neo("alert", "test")
    assert (ended.code, ended.out) == (0, "log: delivered to this program's log\n")
    assert "Alerts go to the log only: set NEO_ALERT_WEBHOOK, or NEO_ALERT_SMTP and NEO_ALERT_TO.\n" in ended.err
    assert "A test of the alerts of neo_assets, sent by `neo alert test`. Nothing is wrong.\n" in caplog.text


def test_it_sends_one_message_on_each_channel(neo: Neo) -> None:
    with webhook() as hook, mail_server(with_user=True) as mail:
        smtp = f"smtp://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{mail.port}"
        ended = neo(*("alert", "test"), NEO_ALERT_WEBHOOK=hook.url, NEO_ALERT_SMTP=smtp, NEO_ALERT_TO="ada@example.org")
    assert ended.code == 0
    host = hook.url.removeprefix("http://").removesuffix(SECRET)
    assert ended.out.splitlines()[1:] == [
        f"webhook: delivered to {host}",
        f"e-mail: delivered to ada@example.org by 127.0.0.1:{mail.port}",
    ]
    [text], [sent] = hook.texts, mail.mails
    assert text.startswith("A test of the alerts of neo_assets")
    assert f"Lake: {Path('data/lake').absolute()}" in text, "a channel may serve several machines"
    assert sent["Subject"] == "neo_assets: a test of the alerts"
    assert "secret" not in (ended.out + ended.err).lower()


def test_a_channel_that_fails_is_named_and_the_others_are_tried(neo: Neo) -> None:
    with webhook() as hook, mail_server() as mail:
        hook.status = 403
        smtp = f"smtp://127.0.0.1:{mail.port}"
        ended = neo(*("alert", "test"), NEO_ALERT_WEBHOOK=hook.url, NEO_ALERT_SMTP=smtp, NEO_ALERT_TO="ada@example.org")
    assert ended.code == 1
    assert " did not take the message (HTTP 403 " in ended.out
    assert ended.err.endswith("Error: not delivered: webhook\n")
    assert len(mail.mails) == 1
    assert "secret" not in (ended.out + ended.err).lower()


def test_it_lists_open_incidents_and_channels_that_fail(neo: Neo, lake: Storage) -> None:
    ended = neo("alert", "list", NEO_LAKE=lake.root)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("No incident is open, as far as the sensor `alerts` has seen: ")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    is_open = Incident(Kind.STALE, "the oldest page", "it is old", noon, where="Dagster's UI: Assets, raw_pages")
    is_over = Incident(Kind.RUN, "job stats", "it failed", noon, over_at=noon)
    write(lake, State((is_over, is_open), {"webhook": Failing(noon, "example.org is down")}))
    ended = neo("alert", "list", NEO_LAKE=lake.root)
    assert ended.out == (
        "2026-03-01 12:00 UTC  data stale: the oldest page: it is old (Dagster's UI: Assets, raw_pages)\n"
    )
    assert ended.err == (
        "Messages wait, at most until a week after the incident is over: webhook has failed since "
        "2026-03-01 12:00 UTC: example.org is down\n"
    )
