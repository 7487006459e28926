"""Commands run in forks of a process that has loaded the libraries, as most of a command's time goes into loading them.
This module imports little, because each fork imports it.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

# Not the project's own modules: a command reads its settings when it loads them.
LIBRARIES = [
    *("alembic.context", "boto3", "dagster", "dagster._cli", "dagster._core.storage.sqlite_storage", "duckdb", "httpx"),
    *("httpcore", "psutil", "pyarrow.compute", "pyarrow.json", "pyarrow.parquet", "pydantic_settings", "starlette"),
    *("tqdm", "uvicorn", "yaml"),
]

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(LIBRARIES)


def run(
    command: Sequence[str], at: Path, environment: Mapping[str, str], out: Path, err: Path, timeout_s: float
) -> int:
    """Run a console script of the virtual environment to its end.

    Args:
        command: the script and its arguments.
        at: its working directory.
        environment: all of its environment variables.
        out: file for its standard output.
        err: file for its standard error.
        timeout_s: seconds after which it is killed, and the test fails.

    Returns:
        Its exit code.
    """
    fork = _forks.Process(target=_become, args=(command, at, environment, out, err))
    fork.start()
    fork.join(timeout_s)
    if fork.exitcode is None:
        assert fork.pid
        os.killpg(fork.pid, signal.SIGKILL)
        fork.join()
        raise TimeoutError(f"{' '.join(command)} did not end in {timeout_s:.0f} s")
    return fork.exitcode


def _become(command: Sequence[str], at: Path, environment: Mapping[str, str], out: Path, err: Path) -> None:
    os.setsid()
    os.chdir(at)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate((Path(os.devnull), out, err)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = list(command)
    [script] = entry_points(group="console_scripts", name=command[0])
    sys.exit(script.load()())
