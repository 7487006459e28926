"""A release of made-up data and one of NASA's, which tests share that only read them."""

from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.products.by_hand import fill
from neo_assets_tests.products.release.by_hand import publish


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulated")
    return publish(fill(Storage(str(place / "lake"))), place / "release")


@pytest.fixture(scope="session")
def nasas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("nasas")
    return publish(fill(Storage(str(place / "lake")), "nasa"), place / "release")


@pytest.fixture(params=["simulated", "nasas"])
def release(request: pytest.FixtureRequest) -> Path:
    """One after the other."""
    found: Path = request.getfixturevalue(request.param)
    return found
