"""The API over a small simulated lake, which tests share that only read it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from neo_assets.api.app import create_app
from neo_assets.api.held import Loading
from neo_assets.api.server import Protocol
from neo_assets.lake.storage import Storage
from neo_assets_tests.integration.harness import PATIENCE_S, serving
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products
from neo_assets_tests.settings import settings_of

Get = Callable[..., Any]


TOKEN = "a-token-of-the-tests"


@contextlib.contextmanager
def client_of(lake: Storage, **settings: Any) -> Iterator[httpx.Client]:
    """A client of the API over a lake, which is served on loopback, with the token if the settings have it."""
    values = {"lake": str(lake.root)} | settings
    headers = {"Authorization": f"Bearer {TOKEN}"} if "api_token" in settings else {}
    with (
        serving(create_app(settings_of(**values), lake=lake), http=Protocol) as url,
        httpx.Client(base_url=httpx.URL(url).join("/"), timeout=PATIENCE_S, headers=headers) as client,
    ):
        yield client


def wait_for_rows_in_memory() -> None:
    """Wait until every snapshot that was taken up has loaded its rows."""
    for thread in threading.enumerate():
        if isinstance(thread, Loading):
            thread.join(PATIENCE_S)


@pytest.fixture(scope="session")
def served_lake(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return with_products(tmp_path_factory.mktemp("served"), fill_from_simulator)


@pytest.fixture(scope="session")
def api(served_lake: Storage) -> Iterator[httpx.Client]:
    with client_of(served_lake) as client:
        yield client


@pytest.fixture
def get(api: httpx.Client) -> Get:
    """What the API answers to a path, as JSON; fails if it is an error."""

    def get(path: str, **parameters: Any) -> Any:
        answer = api.get(path, params={name.replace("_", "-"): value for name, value in parameters.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get
