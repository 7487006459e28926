"""The storage seam: every test of a lake runs on disk and on S3. Also a store of S3 that may lack something."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer

import pytest

from neo_assets_tests.conftest import DISK_AND_S3
from neo_assets_tests.lake.s3_double import Handler, Store


@pytest.fixture(params=DISK_AND_S3)
def lake_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A small S3 store in memory, with its address in the environment."""
    store = Store()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, store)) as server:
        server.daemon_threads = True  # the SDK keeps its connections open
        store.url = f"http://127.0.0.1:{server.server_port}"
        variables = {
            "AWS_ENDPOINT_URL": store.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield store
        server.shutdown()
        thread.join()
