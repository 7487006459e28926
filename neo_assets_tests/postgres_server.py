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

from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi

from neo_assets_tests.integration.harness import free_port

ADMIN, PASSWORD = "admin", "a-secret"

_START_S = 60
_START_ATTEMPTS = 3


@dataclass
class PostgresServer:
    """A running server; each test has a database of its own."""

    port: int
    process: subprocess.Popen[bytes]
    databases: int = 0

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


@contextlib.contextmanager
def serving_postgres(programs: Path) -> Iterator[PostgresServer]:
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
        for _ in range(_START_ATTEMPTS):  # another process may take the port first
            port = free_port()
            with Path(place, "log").open("ab") as log:
                command = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", place]
                process = subprocess.Popen([*command, "-c", "fsync=off"], user=who, cwd=place, stdout=log, stderr=log)
            server = PostgresServer(port, process)
            if _comes_up(server):
                break
        else:
            raise RuntimeError(f"PostgreSQL does not start: {Path(place, 'log').read_text()[-2000:]}")
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # it ends its connections, then itself
            process.wait(60)


def _user() -> str | None:
    """The user to run as instead of root, which the server refuses to run as."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None


def _comes_up(server: PostgresServer) -> bool:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and server.process.poll() is None:
        with contextlib.suppress(Error):
            run(server.url(), "SELECT 1")
            return True
        time.sleep(0.1)
    return False
