"""Fixtures for tests of the source: a clock that stands still, budgets on one ledger, pages of the shared server."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.orchestration.assets.graph import at
from neo_assets_tests.sources.neows.fetching import QUICK

HOST = "api.nasa.gov"
FAST = 1e6


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Budget]]:
    """A function that makes budgets on one ledger; by default one key, 10 requests an hour, hardly any spacing."""
    made = []

    def make(keys: Iterable[str] = ("a",), per_hour: int = 10, per_second: float = FAST, host: str = HOST) -> Budget:
        made.append(Budget(tmp_path / "state/requests.sqlite", host, list(keys), per_hour, per_second, clock=clock))
        return made[-1]

    yield make
    for budget in made:
        budget.close()


@pytest.fixture
def neows(served: Served) -> Iterator[NeoWs]:
    """The pages of the server that tests share, with short waits before retries."""
    with NeoWs(at(served), QUICK) as neows:
        yield neows
