"""A real PostgreSQL server on loopback for tests. No assertions here."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi

from neo_assets_tests.integration.harness import free_port

ADMIN, PASSWORD = "admin", "a-secret"

_START_S = 60
_START_ATTEMPTS = 3


@dataclass
class PostgresServer:
    """A server; each test has a database of its own."""

    programs: Path
    place: Path
    is_durable: bool = False
    """Whether a commit waits for the disk, as it does by default; tests need not survive a power cut."""
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    databases: int = 0

    def start(self) -> bool:
        """Start it on its port and its data, in a process group of its own. Returns whether it comes up."""
        data = str(self.place / "data")
        command = [str(self.programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "-k", str(self.place), "-c", f"fsync={'on' if self.is_durable else 'off'}"],
                user=_user(),
                cwd=self.place,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._comes_up(self.process)

    def kill(self) -> None:
        """Kill all its processes. `start` brings it back with what was committed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End its connections, then itself."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            (os.killpg if how == signal.SIGKILL else os.kill)(self.process.pid, how)
            self.process.wait(60)

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        until = time.monotonic() + _START_S
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(Error):
                run(self.url(), "SELECT 1")
                return True
            time.sleep(0.1)
        return False

    def url(self, database: str = "postgres", user: str = ADMIN, password: str = PASSWORD) -> str:
        """The URL of a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        self.databases += 1
        name = f"test_{self.databases}"
        run(self.url(), f"CREATE DATABASE {name}")
        return self.url(name)


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, and return the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                rows = cursor.fetchall()
    return rows


def postgres_programs() -> Path | None:
    """The directory of the server's programs; None if none is installed, or root has no other user to run it as."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    if os.getuid() == 0 and not _user():
        return None
    return found[0] if found else None


def programs_or_skip() -> Path:
    """The directory of the server's programs; skips the test if none is installed."""
    if not (programs := postgres_programs()):
        pytest.skip("no PostgreSQL server is installed (on Debian: apt-get install postgresql)")
    return programs


@contextlib.contextmanager
def serving_postgres(programs: Path, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server with a database cluster of its own, in a directory that is deleted afterwards."""
    who = _user()
    with tempfile.TemporaryDirectory(prefix="neo-postgres-") as place:
        if who:
            shutil.chown(place, who, who)
        secret, data = Path(place, "password"), Path(place, "data")
        secret.write_text(PASSWORD)
        if who:
            shutil.chown(secret, who, who)
        options = ["-U", ADMIN, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync", "-N"]
        subprocess.run(
            [str(programs / "initdb"), "-D", str(data), *options],
            check=True,
            user=who,
            cwd=place,
            stdout=subprocess.DEVNULL,
        )
        server = PostgresServer(programs, Path(place), is_durable)
        try:
            for _ in range(_START_ATTEMPTS):  # another process may take the port first
                server.port = free_port()
                if server.start():
                    break
            else:
                raise RuntimeError(f"PostgreSQL does not start: {Path(place, 'log').read_text()[-2000:]}")
            yield server
        finally:
            server.stop()


def _user() -> str | None:
    """The user to run as instead of root, which the server refuses to run as."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None
