"""Lakes with their database made, which tests share that only read it."""

import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.products.by_hand import fill, fill_from_simulator, with_products


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return with_products(tmp_path_factory.mktemp("products"), fill)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return with_products(tmp_path_factory.mktemp("products"), fill_from_simulator)
