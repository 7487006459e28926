"""Shared by the end-to-end tests: commands run as a user runs them, each in its own directory, and NeoWs servers on
loopback. No assertions about the project here.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, TypeVar

import boto3
import pyarrow as pa
import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.sources.simulator.app import PREFIX, create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration import forked

CHECKOUT = Path(__file__).parents[2]
SIX_PAGES = Catalogue(neos=120)
KEY = "Planted-Key_0123456789-abcdefghijklmnopqrstuvwxyz"

# A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
HEEDING_CTRL_C = ("env", "--default-signal=INT")
_SETTINGS = ("NEO_", "NASA_", "NEOWS_", "DAGSTER_", "AWS_")
_OTHERS = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
)
_COVERAGE = ("COVERAGE_", "COV_CORE_")


T = TypeVar("T")

PATIENCE_S = 240.0
"""Seconds to wait for something that takes a few seconds on an idle machine."""


def wait_until(what: Callable[[], T | None], every_s: float = 0.05, patience_s: float = PATIENCE_S) -> T:
    """Wait until something is true, and return what it then is."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(every_s)
    return found


def is_a_setting(name: str) -> bool:
    """Whether a variable changes the behaviour or output of commands: a setting, a proxy, colours."""
    return name.startswith(_SETTINGS) or name.upper() in _OTHERS


def environment(home: Path, **settings: object) -> dict[str, str]:
    """The environment of a command: only the given settings, and a home directory of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not is_a_setting(name) and not name.startswith(_COVERAGE)
    }
    ours = {"HOME": str(home / "home"), "XDG_STATE_HOME": str(home / "state")}
    return kept | ours | {name: str(value) for name, value in settings.items()}


@dataclass
class Ended:
    """The result of a command."""

    code: int
    out: str
    err: str


@dataclass
class Started:
    """A running command, in a process group of its own."""

    process: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def wait(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait until it ends. If it does not end in time, it is killed and the test fails."""
        try:
            code = self.process.wait(timeout_s)
        finally:
            self.kill()
        return Ended(code, *(self._text(file) for file in (self.out, self.err)))

    def interrupt(self) -> Ended:
        """Press Ctrl-C: like a terminal, signal every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """Kill the rest of the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def output(self) -> str:
        """Its standard output so far."""
        return self._text(self.out)

    @staticmethod
    def _text(file: IO[str]) -> str:
        return Path(file.name).read_text()


@dataclass
class Place:
    """A directory in which commands run, with everything that they leave behind."""

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def start(self, command: str, *arguments: object, prefix: tuple[str, ...] = (), **settings: Any) -> Started:
        """Start a command from the virtual environment of the tests, as a shell does."""
        out_path, err_path = self._logs()
        with out_path.open("w") as out, err_path.open("w") as err:
            process = subprocess.Popen(
                [*HEEDING_CTRL_C, *prefix, str(Path(sys.executable).with_name(command)), *map(str, arguments)],
                cwd=self.path,
                env=environment(self.path.parent, **self.settings | settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        return Started(process, out, err)

    def run(self, command: str, *arguments: object, timeout_s: float = PATIENCE_S, **settings: Any) -> Ended:
        """Run a command to its end: a console script in a fork that has loaded the libraries, `python` as it is."""
        if command == "python":
            return self.start(command, *arguments, **settings).wait(timeout_s)
        out, err = self._logs()
        env = environment(self.path.parent, **self.settings | settings)
        code = forked.run([command, *map(str, arguments)], self.path, env, out, err, timeout_s)
        return Ended(code, out.read_text(), err.read_text())

    def neo(self, *arguments: object, **settings: Any) -> Ended:
        """Run `neo`."""
        return self.run("neo", *arguments, **settings)

    def materialize(self, select: str, partition: str | None = None, **settings: Any) -> Ended:
        """Run `dagster asset materialize`."""
        of_set = ["--partition", partition] if partition else []
        return self.run(
            "dagster", "asset", "materialize", "-m", "neo_assets.definitions", "--select", select, *of_set, **settings
        )

    def _logs(self) -> tuple[Path, Path]:
        """Files for the output of the next command."""
        logs = self.path.parent / f"{self.path.name}.logs"
        logs.mkdir(exist_ok=True)
        number = len(list(logs.iterdir())) // 2
        return logs / f"{number}.out", logs / f"{number}.err"

    @property
    def lake(self) -> Path:
        """Where the lake is by default."""
        return self.path / "data/lake"

    @property
    def storage(self) -> Storage:
        """The lake, on disk or on S3."""
        return Storage(str(self.settings.get("NEO_LAKE", self.lake)))


def place(path: Path, *checkout_files: str, **settings: object) -> Place:
    """A new directory, with copies of some top-level files of the checkout."""
    path.mkdir()
    for name in checkout_files:
        shutil.copy(CHECKOUT / name, path / name)
    return Place(path, settings)


def dagster_yaml_for_postgres() -> str:
    """The checkout's `dagster.yaml`, with the lines that keep Dagster's state in PostgreSQL instead of SQLite."""
    before, _, rest = (CHECKOUT / "dagster.yaml").read_text().partition("storage:\n")
    _, _, rest = rest.partition("# To keep it in PostgreSQL instead")
    _, _, rest = rest.partition("\n")
    lines, gap, after = rest.partition("\n\n")
    return before + re.sub("^# ", "", lines, flags=re.MULTILINE) + gap + after


def fingerprints(lake: Path | Storage) -> dict[str, tuple[str, object]]:
    """Each file below a directory or in a lake, by path, with a digest of its content and a mark of its last write: the
    time, or the version on S3. The audit and leases are left out: every run adds to them.
    """
    left_out = {layout.AUDIT, "leases"}
    if isinstance(lake, Storage) and not lake.is_local:
        bucket, _, prefix = lake.root.removeprefix("s3://").partition("/")
        pages = boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return {
            one["Key"].removeprefix(f"{prefix}/"): (one["ETag"], one["VersionId"])
            for page in pages
            for one in page.get("Versions", [])
            if one["IsLatest"] and not left_out.intersection(one["Key"].split("/"))
        }
    directory = Path(lake.root) if isinstance(lake, Storage) else lake
    return {
        str(file.relative_to(directory)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(directory.rglob("*"))
        if file.is_file() and not left_out.intersection(file.relative_to(directory).parts)
    }


def copy(source: Storage, target: Storage) -> Storage:
    """Copy every file of a lake to another one. Returns the copy."""
    for info in source.files(""):
        target.write(info.path, source.read(info.path))
    return target


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """The files that were rewritten, added or removed."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket on a loopback port that nobody else has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextlib.contextmanager
def nobody_at() -> Iterator[str]:
    """A host and port on loopback where nobody listens, and no other process can start to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def free_port() -> int:
    """A free loopback port outside the range that the system assigns, for servers that need a fixed number.

    Another process may take it before the server starts, so callers must be ready to try another one.
    """
    while True:
        port = secrets.choice(range(10_000, 30_000))  # not `random`, which Hypothesis seeds alike in every process
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Serve an ASGI application on loopback from a thread, with options of uvicorn. Yields the base URL of the API."""
    config = uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off", **options)
    server = uvicorn.Server(config)
    with listening() as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server in this process did not end"


async def no_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Never answer: wait until the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class Faulty:
    """A NeoWs that answers some pages from `answers`, and others correctly. `asked` lists the requested pages."""

    answers: dict[int, Callable[[], ASGIApp]] = field(default_factory=dict)
    catalogue: Catalogue = SIX_PAGES
    requests_per_hour: int | None = None
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = self.knowing([KEY])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        request = Request(scope)
        answer: ASGIApp = self.app
        if request.url.path.endswith("/browse"):
            page = int(request.query_params["page"])
            self.asked.append(page)
            answer = self.answers[page]() if page in self.answers else self.app
        await answer(scope, receive, send)

    def knowing(self, keys: list[str]) -> ASGIApp:
        """The simulated NeoWs behind it, with these keys."""
        return create_app(self.catalogue, keys=keys, requests_per_hour=self.requests_per_hour)

    def break_down(self, answer: Callable[[], ASGIApp]) -> None:
        """From now on, answer every page like this."""
        self.answers = dict.fromkeys(range(1_000), answer)

    def mend(self) -> None:
        """From now on, answer every page correctly; clears `asked`."""
        self.answers.clear()
        self.asked.clear()


def counted(catalogue: Catalogue, neos: int) -> dict[str, int]:
    """Totals over the first NEOs of a catalogue, counted object by object from the API's JSON."""
    approaches = [one for place in range(neos) for one in catalogue.neo(place)["close_approach_data"]]
    near = [one for one in approaches if Decimal(one["miss_distance"]["astronomical"]) < Decimal("0.2")]
    return {
        "neos": neos,
        "near_misses": len(near),
        "near_misses_earth": sum(one["orbiting_body"] == "Earth" for one in near),
        "approaches": len(approaches),
        "approaches_earth": sum(one["orbiting_body"] == "Earth" for one in approaches),
        "years": len({one["close_approach_date"][:4] for one in approaches}),
    }


def unpacked(file: Path) -> bytes:
    """The content of a file; stored pages are decompressed."""
    if file.suffix != ".zst":
        return file.read_bytes()
    with pa.CompressedInputStream(pa.OSFile(str(file)), "zstd") as stream:
        return bytes(stream.read())
