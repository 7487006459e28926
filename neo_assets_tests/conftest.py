"""Fixtures for all tests: an environment without settings, lakes on disk and on S3, a simulator on loopback."""

import contextlib
import functools
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import alembic.config
import alembic.script
import botocore.session
import pytest
from hypothesis import HealthCheck, configuration
from hypothesis import settings as hypothesis_settings
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from xdist.scheduler import LoadScopeScheduling

from neo_assets.cli import main as cli
from neo_assets.lake.storage import Storage
from neo_assets.sources.neows.fetcher_process import FetcherProcess
from neo_assets.sources.neows.messages import Host
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.simulator.app import PREFIX, bind, create_app, make_server
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.harness import PATIENCE_S, Ended, is_a_setting
from neo_assets_tests.postgres_server import PostgresServer, programs_or_skip, serving_postgres
from neo_assets_tests.s3_server import VERSIONED, S3Server, serving_s3

configuration.set_hypothesis_home_dir(str(Path(sys.prefix) / "cache" / "hypothesis"))
# No deadlines for examples: the machine may be busy.
hypothesis_settings.register_profile("neo_assets", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("neo_assets")

DISK_AND_S3 = ("disk", pytest.param("s3", marks=pytest.mark.s3))
disk_and_s3 = pytest.mark.parametrize("lake_kind", DISK_AND_S3, indirect=True)
"""Runs a test on a lake on disk, and again on S3.

Every test in `lake/` runs on both, as it tests the storage itself. Elsewhere, one or two tests of each module run on S3
too; all others use a lake on disk.
"""

HEAD_START = (
    "test_dagster_cli.py",
    "test_dagster_dev.py",
    "test_full_disk.py",
    "test_secrets.py",
    "test_wrong_answers.py",
)
"""Modules that share slow fixtures, or run while those start (`head_start` in the end-to-end tests)."""


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Distributes tests among processes file by file, because the tests of a file share slow fixtures.

    The groups of pytest-xdist 3.8 (`--dist loadgroup`) do not work with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "head start" if file.rpartition("/")[2] in HEAD_START else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileByFile:
    config.option.loadscopereorder = False  # it sorts by number of tests, but the slowest files have few
    return FileByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as cores; half as many again if the slow tests run too, as those wait a lot."""
    cores = os.cpu_count() or 1
    return cores if "not slow" in config.option.markexpr else cores * 3 // 2


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest tests first, so that no process is left alone with them: the end-to-end tests, then those at the
    root, then the rest. Tests that need the S3 server are marked `s3`.
    """
    for item in items:
        if "s3_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.s3)
    folders = {"integration": 0, "neo_assets_tests": 1}
    items.sort(key=lambda item: folders.get(item.path.parent.name, 2))


@contextlib.contextmanager
def nowhere(place: Path) -> Iterator[None]:
    """Hide the developer's own variables and `.env`, and leave nothing in their directories."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(is_a_setting, [*os.environ]):
            patch.delenv(name)
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, str(place / "none"))
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        patch.chdir(place)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Hide settings during collection too, as importing `definitions` reads them."""
    with tempfile.TemporaryDirectory() as place, nowhere(Path(place)):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heeded() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C, which some tests press."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_for_shared_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nowhere(tmp_path_factory.mktemp("cwd")):
        yield


@pytest.fixture(autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nowhere(tmp_path_factory.mktemp("cwd")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _libraries_read_once() -> Iterator[None]:
    """Read AWS's description of S3 and Dagster's list of database revisions once per process.

    Otherwise every S3 client and every Dagster instance would read them again, a tenth of a second each.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        read, known = alembic.script.ScriptDirectory.from_config, dict[str | None, alembic.script.ScriptDirectory]()

        def revisions(config: alembic.config.Config) -> alembic.script.ScriptDirectory:
            place = config.get_main_option("script_location")
            if place not in known:
                known[place] = read(config)
            return known[place]

        patch.setattr(alembic.script.ScriptDirectory, "from_config", revisions)
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, started when the first test needs it."""
    with serving_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, started when the first test needs it."""
    with serving_postgres(programs_or_skip()) as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server, with its administrator's settings in the environment.

    The read timeout allows for a busy machine: a request that timed out would be sent again while the first one is
    still running, and after three timeouts the lake would count as unreachable.
    """
    for name, value in s3_server.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("neo_assets.lake.s3._READ_S", PATIENCE_S)
    return s3_server


@pytest.fixture
def disk_lake(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "lake"))


@dataclass
class Lakes:
    """Makes empty lakes of one kind."""

    new: Callable[[], Storage]
    share: float = 1

    def examples(self, most: int) -> int:
        """Number of examples to try for a property: fewer on S3, where each takes longer."""
        return round(most * self.share)


@pytest.fixture
def lake_kind(request: pytest.FixtureRequest) -> str:
    """Where a test has its lakes: on disk, and again on S3 if it is marked `disk_and_s3`."""
    return getattr(request, "param", "disk")


@pytest.fixture
def lakes(lake_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    if lake_kind == "disk":
        return Lakes(lambda: Storage(str(tmp_path_factory.mktemp("place") / "lake")))
    server: S3Server = request.getfixturevalue("s3")
    return Lakes(lambda: Storage(server.new_lake(VERSIONED)), share=0.25)


@pytest.fixture
def lake(lakes: Lakes) -> Storage:
    """An empty lake."""
    return lakes.new()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid all connections, even to this machine, except to the S3 endpoint in the settings; and a process that would
    fetch from a server.
    """
    connect, resolve, start = socket.socket.connect, socket.getaddrinfo, FetcherProcess.__init__

    def allowed(host: str, port: object) -> bool:
        return os.environ.get("AWS_ENDPOINT_URL") == f"http://{host}:{port}"

    def connect_to_s3(self: socket.socket, address: tuple[str, int]) -> None:
        assert allowed(*address), "a connection was attempted"
        connect(self, address)

    def resolve_s3(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        assert allowed(host, port), "a connection was attempted"
        return resolve(host, port, *arguments, **options)

    def start_a_simulator(self: FetcherProcess, host: Host, progress: Progress) -> None:
        assert host.ledger is None, "a connection was attempted"
        start(self, host, progress)

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", connect_to_s3)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_s3)
    monkeypatch.setattr(FetcherProcess, "__init__", start_a_simulator)


@pytest.fixture
def neo(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `neo` in this process, as its entry point does, with additional settings if given."""

    def neo(*arguments: str, **settings: object) -> Ended:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, str(value))
            patch.setattr(sys, "argv", ["neo", *arguments])
            code = cli.run_plainly()
        return Ended(code, *capfd.readouterr())

    return neo


@pytest.fixture
def no_finalizers() -> Iterator[None]:
    """Prevent finalizers from running while a parser is at the recursion limit, where they would fail."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@dataclass
class Served:
    """A simulator on loopback. `answers` replaces its answers by page; `pages` lists the requested pages in order."""

    app: Starlette
    url: str = ""
    answers: dict[int, ASGIApp] = field(default_factory=dict)
    pages: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode())
        pages = [int(page) for page in query.get("page", [])]
        self.pages += pages
        answer = next((self.answers[page] for page in pages if page in self.answers), self.app)
        await answer(scope, receive, send)


@pytest.fixture(scope="session")
def _server() -> Iterator[Served]:
    """The server that all tests share: starting and stopping one takes longer than most tests."""
    served = Served(create_app(Catalogue(neos=90)))
    server = make_server(served)
    with bind("127.0.0.1", 0) as listener:
        served.url = f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield served
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(_server: Served) -> Served:
    _server.app, _server.answers, _server.pages = create_app(Catalogue(neos=90)), {}, []
    return _server
