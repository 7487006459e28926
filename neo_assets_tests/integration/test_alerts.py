"""Alerts as a real daemon sends them: within a minute, once, and without leaving a secret anywhere."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from neo_assets_tests.integration.harness import place, unpacked, wait_until
from neo_assets_tests.sinks import PASSWORD, SECRET, USER, mail_server, webhook

pytestmark = pytest.mark.slow

FIRST = "00000-00001"
AT_MOST_S = 60.0
"""Longest time from a failure to its message; as long again is allowed for a busy machine."""


def seconds_until(what: Callable[[], object]) -> float:
    started = time.monotonic()
    wait_until(what, every_s=0.2)
    return time.monotonic() - started


def test_a_daemon_reports_a_failure_and_its_end_within_a_minute(tmp_path: Path) -> None:
    here = place(tmp_path / "here", "dagster.yaml", "workspace.yaml", NEO_PAGES=2)
    here.settings["DAGSTER_HOME"] = here.path
    with webhook() as hook, mail_server(with_user=True) as mail:
        login = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
        here.settings |= {
            "NEO_ALERT_WEBHOOK": hook.url,
            "NEO_ALERT_SMTP": f"smtp://{login}@127.0.0.1:{mail.port}",
            "NEO_ALERT_TO": "ada@example.org",
        }
        assert here.materialize("near_miss_count", FIRST).code == 1
        daemon = here.start("dagster-daemon", "run", "-w", "workspace.yaml")
        try:
            seconds_until(lambda: hook.texts and mail.mails)  # includes the start of the daemon
            hook.status = 503
            assert here.materialize("*near_miss_count", FIRST).code == 0
            assert seconds_until(lambda: len(mail.mails) == 2) < 2 * AT_MOST_S
            seconds_until(lambda: ": webhook has failed since " in here.neo("alert", "list").err)
            hook.status = 200
            assert seconds_until(lambda: len(hook.texts) == 2) < 2 * AT_MOST_S
        finally:
            daemon.interrupt()
    assert hook.texts[0].startswith(f"Run failed: page set {FIRST}\n")
    assert hook.texts[1].startswith(f"Over: Run failed: page set {FIRST}\n")
    assert len(mail.mails) == 2, "once each"
    printed = Path(daemon.err.name).read_text() + Path(daemon.out.name).read_text()
    assert f"Run failed: page set {FIRST}" in printed
    secrets = [form.encode() for form in (SECRET, PASSWORD, quote(PASSWORD, safe=""), "B0SECRET")]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"index.db", "schedules.db", "incidents.json"} <= {file.name for file in files}
    assert [str(file) for file in files if any(secret in unpacked(file) for secret in secrets)] == []
