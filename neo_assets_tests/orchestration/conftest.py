"""Fixtures for tests of alerts: a real webhook, and a code location whose alerts go there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.integration.harness import PATIENCE_S
from neo_assets_tests.orchestration.watching import Watch
from neo_assets_tests.sinks import WebhookSink, webhook


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookSink]:
    """A webhook, which is waited for on a busy machine too."""
    monkeypatch.setattr("neo_assets.pipeline.channels.LIMIT_S", PATIENCE_S)
    with webhook() as running:
        yield running


@pytest.fixture
def watch(lake: Storage, tmp_path: Path, sink: WebhookSink) -> Watch:
    """A code location whose alerts go to `sink`."""
    return Watch(lake, tmp_path, alert_webhook=sink.url)
