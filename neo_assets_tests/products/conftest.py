"""Lakes with their database made, which tests share that only read it."""

import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.products.by_hand import fill, fill_from_simulator, make


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    lake = Storage(str(tmp_path_factory.mktemp("products") / "lake"))
    make(fill(lake))
    return lake


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    lake = Storage(str(tmp_path_factory.mktemp("products") / "lake"))
    make(fill_from_simulator(lake))
    return lake
