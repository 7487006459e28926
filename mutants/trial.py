"""Tries mutants: runs tests on a copy of the checkout in which one file is changed.

Each run is a fork of this process, which has imported the libraries but nothing of the project: importing those takes
longer than most tests.
"""

import contextlib
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import coverage
import pytest

from mutants.mutant import Mutant

_CHECKOUT = Path(__file__).parents[1]

_LIBRARIES = (
    *("alembic.config", "alembic.script", "boto3", "dagster", "duckdb", "httpx", "hypothesis", "msgspec", "obstore"),
    *("psutil", "pyarrow.compute", "pyarrow.json", "pyarrow.parquet", "pydantic_settings", "starlette.applications"),
    *("tqdm", "typer", "uvicorn", "xdist.scheduler"),
)

_OPTIONS = (
    *("-q", "-x", "-m", "not slow and not s3", "--hypothesis-seed=0"),
    "--keep-duplicates",  # else a test that is named first is run where its file comes, which is named too
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),  # they are, on purpose
)

_NOTHING_FAILED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

_POLL_S = 0.02

_PATIENCE_S = 300.0
"""How long no test of a run may end, as some changes make the code wait for ever. It is no limit for the whole run,
which takes many times as long on a busy machine as on an idle one.
"""

_MOST_KILLERS = 8
"""How many tests that have noticed a mutant are tried first."""

_MOST_BYTES = 8 << 30
"""Memory of a run, as a mutant may fill a list without end."""


@dataclass
class Copy:
    """A copy of the checkout, for one run at a time."""

    place: Path

    def __post_init__(self) -> None:
        """Copy every file that git tracks or would add."""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.check_output(listed, cwd=_CHECKOUT, text=True).split("\0"):
            if (_CHECKOUT / name).is_file():
                (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(_CHECKOUT / name, self.place / name)

    def write(self, path: Path, text: str) -> None:
        """Replace a file; compiled modules would be used if they looked as old as the file."""
        (self.place / path).write_text(text, encoding="utf-8")
        if path.suffix == ".py":
            Path(importlib.util.cache_from_source(str(self.place / path))).unlink(missing_ok=True)

    def start(self, arguments: Sequence[str], *, most_s: float = 0.0, writes_bytecode: bool = False) -> int:
        """Run tests in a process of their own, the leader of its group, for some seconds of CPU at most (0: no limit).

        Returns:
            The id of the process.
        """
        sys.stdout.flush()
        if process := os.fork():
            return process
        try:
            os._exit(self._run(arguments, most_s, writes_bytecode))
        finally:  # whatever happens, it must not go on as the process that it was forked from
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    def _run(self, arguments: Sequence[str], most_s: float, writes_bytecode: bool) -> int:
        os.setsid()
        output = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self.place)
        os.environ |= {"PYTHONPATH": str(self.place), "COVERAGE_FILE": str(self._coverage)}
        sys.path.insert(0, str(self.place))
        sys.dont_write_bytecode = not writes_bytecode
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))  # V8 reserves more addresses than it uses
        if most_s:
            resource.setrlimit(resource.RLIMIT_CPU, (ceil(most_s), ceil(most_s)))
        code = pytest.main([*_OPTIONS, f"--basetemp={self.place}/tmp", *arguments])
        sys.stdout.flush()
        return int(code)

    @property
    def output(self) -> Path:
        """What the last run printed."""
        return self.place / "output"

    @property
    def _coverage(self) -> Path:
        return self.place / "coverage"

    def tests_by_line(self, paths: Iterable[Path]) -> dict[Path, dict[int, set[str]]]:
        """The tests that executed each line of some modules, in the last run with coverage.

        What the fixtures of a test execute counts for all tests of its file, as they may share them.
        """
        data = coverage.CoverageData(str(self._coverage))
        data.read()
        found: dict[Path, dict[int, set[str]]] = {}
        for path in paths:
            lines = found[path] = defaultdict(set)
            for line, contexts in data.contexts_by_lineno(str(self.place / path)).items():
                for test, _, phase in (context.partition("|") for context in contexts if context):
                    lines[line].add(test.partition("[")[0] if phase == "run" else test.partition("::")[0])
        return found


@dataclass
class _Run:
    """A run of the tests on a mutant."""

    mutant: Mutant
    copy: Copy
    printed: int = 0
    """How many bytes it has printed; each test that ends prints some."""
    waited_s: float = 0.0
    """How long ago that was."""


@dataclass
class Trials:
    """The results of trying mutants with the tests of one scope."""

    copies: Sequence[Copy]
    tests: Sequence[str]
    """The tests, as paths."""
    _tests_by_line: dict[Path, dict[int, set[str]]] = field(default_factory=dict)
    _most_s: float = 0.0
    """How many seconds of CPU a run may use, as some changes make the code loop for ever."""
    _killers: list[str] = field(default_factory=list)
    """Tests that have noticed a mutant, the last one first."""

    def prepare(self, paths: Iterable[Path]) -> None:
        """Run the tests on the unchanged files, to learn how much CPU they use, and which tests execute what.

        Raises:
            RuntimeError: a test fails.
        """
        for library in _LIBRARIES:
            importlib.import_module(library)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        options = ("--cov=neo_assets", "--cov-context=test", "--cov-report=", "--cov-fail-under=0")
        for copy, more in zip(self.copies, (options, *(("--collect-only",),) * len(self.copies)), strict=False):
            process = copy.start([*more, *self.tests], writes_bytecode=True)
            _, status = os.waitpid(process, 0)
            if status:
                raise RuntimeError(f"without any change, a test fails:\n{copy.output.read_text()}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        once_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        self._most_s = 10 + 2 * once_s  # the tests that are tried first run twice
        self._tests_by_line = self.copies[0].tests_by_line(paths)

    def try_all(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, bool]]:
        """Each mutant, and whether a test failed or did not end. They are tried at once in all copies."""
        free = list(self.copies)
        running: dict[int, _Run] = {}
        try:
            for mutant in mutants:
                copy = free.pop()
                copy.write(mutant.path, mutant.mutated)
                running[copy.start(self._tests_of(mutant), most_s=self._most_s)] = _Run(mutant, copy)
                if not free:
                    yield self._first_result(running, free)
            while running:
                yield self._first_result(running, free)
        finally:
            for process in running:
                _end(process)

    def _first_result(self, running: dict[int, _Run], free: list[Copy]) -> tuple[Mutant, bool]:
        """Wait for the first run to end, or to be stuck."""
        while True:
            time.sleep(_POLL_S)
            for process, run in running.items():
                run.waited_s += _POLL_S  # not read from a clock, as all of this may be stopped for a while
                if (printed := run.copy.output.stat().st_size) != run.printed:
                    run.printed, run.waited_s = printed, 0.0
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended or run.waited_s > _PATIENCE_S:
                    _end(process)
                    del running[process]
                    self._note_killer(run.copy.output.read_text(errors="replace"))
                    run.copy.write(run.mutant.path, (_CHECKOUT / run.mutant.path).read_text(encoding="utf-8"))
                    free.append(run.copy)
                    return run.mutant, not ended or os.waitstatus_to_exitcode(status) not in _NOTHING_FAILED

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that execute the function that is changed; all tests if the change is outside of functions, or if
        none executes the function, as it may be executed when its module is imported.

        Tests that noticed the last mutants come first, as they often notice the next one.
        """
        first, last = mutant.within or (0, -1)
        lines = self._tests_by_line.get(mutant.path, {})
        tests = {test for line in range(first, last + 1) for test in lines.get(line, ())}
        if not tests:
            return [*self._killers, *self.tests]
        files = {test.partition("::")[0] for test in tests}
        return [*(test for test in self._killers if test in tests or test.partition("::")[0] in files), *sorted(tests)]

    def _note_killer(self, output: str) -> None:
        """Note the test that failed, if one did."""
        for line in output.splitlines():
            if line.startswith("FAILED "):
                test = line.split()[1].partition("[")[0]
                self._killers = [test, *(one for one in self._killers if one != test)][:_MOST_KILLERS]


def _end(process: int) -> None:
    """End a run, and the processes that it has left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)
