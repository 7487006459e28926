"""The process that fetches: what its caller sees of it, and what becomes of it when one of the two is killed."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neo_assets.sources.neows import messages
from neo_assets.sources.neows.client import CONCURRENCY
from neo_assets.sources.neows.errors import FetcherEnded, NeoWsError, PagesMissing
from neo_assets.sources.neows.fetcher_process import FetcherProcess
from neo_assets.sources.neows.messages import WANTED, Call, Kind
from neo_assets.sources.neows.progress import Progress
from neo_assets.sources.neows.source import NeoWs, host_of
from neo_assets_tests.conftest import Served
from neo_assets_tests.integration.harness import PATIENCE_S, wait_until
from neo_assets_tests.orchestration.assets.graph import KEY, at
from neo_assets_tests.sources.neows.fetching import QUICK


def fetcher_of(process: psutil.Process) -> psutil.Process:
    """The process that another one started last to fetch."""
    fetchers = [one for one in process.children() if "neows.fetcher" in "".join(one.cmdline())]
    return max(fetchers, key=psutil.Process.create_time)


def has_ended(process: psutil.Process) -> bool:
    """Whether it has, with all its threads: those of a zombie may still be ending."""
    if not process.is_running():
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it is a child of another process
        return bool(process.status() == psutil.STATUS_ZOMBIE)


@contextmanager
def held(served: Served, *pages: int) -> Iterator[None]:
    """Have these pages answered only after the context has ended."""
    over = threading.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        while not over.is_set():
            await asyncio.sleep(0.01)
        await Response(status_code=404)(scope, receive, send)

    served.answers = dict.fromkeys(pages, answer)
    try:
        yield
    finally:
        over.set()


def waits_for_the_budget(neows: NeoWs) -> bool:
    return neows.progress.at > time.monotonic() + 3000


def slots_taken(neows: NeoWs) -> bool:
    """Whether a slot is taken besides the only one of this hour."""
    return neows.forecast(1) > time.time() + 3700


# --- a call


def test_no_more_pages_are_fetched_than_the_consumer_keeps_up_with(served: Served, neows: NeoWs) -> None:
    with closing(neows.pages(range(40))) as pages:
        next(pages)
        wait_until(lambda: len(served.pages) == 1 + CONCURRENCY)
        time.sleep(0.3)
        assert len(served.pages) == 1 + CONCURRENCY


def test_requests_are_counted_over_all_processes(neows: NeoWs) -> None:
    assert neows.requests == 0
    assert len(list(neows.pages(range(3)))) == neows.requests == 3
    neows.stats()
    neows.close()
    assert neows.requests == 4
    assert len(list(neows.pages([0]))) == 1
    assert neows.requests == 5


def test_log_records_keep_their_loggers_and_levels(
    served: Served, neows: NeoWs, caplog: pytest.LogCaptureFixture
) -> None:
    failing = iter([Response(status_code=503)])

    async def fail_once(scope: Scope, receive: Receive, send: Send) -> None:
        await next(failing, served.app)(scope, receive, send)

    served.answers = {0: fail_once}
    assert [page.number for page in neows.pages([0])] == [0]
    [record] = caplog.records
    assert (record.name, record.levelname) == ("neo_assets.sources.neows.gate", "WARNING")
    assert record.getMessage().startswith("page 0, attempt 1 of 5: 127.0.0.1 answered 503")
    with caplog.at_level(logging.INFO, "httpx"):
        assert [page.number for page in neows.pages([1])] == [1]
    assert [record.name for record in caplog.records[1:]] == ["httpx"]


def test_a_wait_is_progress_until_the_call_is_closed(served: Served) -> None:
    with NeoWs(at(served, requests_per_hour=1)) as waiting:

        def close_soon() -> None:
            wait_until(lambda: waits_for_the_budget(waiting))
            waiting.close()

        assert [page.number for page in waiting.pages([0])] == [0]
        closer = threading.Thread(target=close_soon)
        closer.start()
        with pytest.raises(PagesMissing):
            next(waiting.pages([1]))
        closer.join()
        assert waiting.progress.at <= time.monotonic()
        assert not slots_taken(waiting)


def test_an_unexpected_error_says_where_it_was_raised(served: Served) -> None:
    process = FetcherProcess(host_of(at(served), QUICK), Progress())
    with pytest.raises(AttributeError) as caught:
        next(process.call("no_such_method"))
    process.close()
    assert "fetcher.py" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("raising", "said"),
    [
        ("import threading; raise ValueError('no', threading.Lock())", "ValueError: ('no', "),
        ("import httpx; raise httpx.HTTPStatusError('no', request=None, response=None)", "HTTPStatusError: no"),
    ],
    ids=["cannot be pickled", "cannot be unpickled"],
)
def test_an_error_that_no_other_process_could_read_is_told_in_words(served: Served, raising: str, said: str) -> None:
    process = FetcherProcess(host_of(at(served), QUICK), Progress())
    with pytest.raises(RuntimeError) as caught:
        next(process.call("pages", map(exec, [raising])))
    process.close()
    assert str(caught.value).startswith(said)
    assert "client.py" in caught.value.__notes__[0]


def test_an_error_that_cannot_even_be_told_in_words_ends_the_call(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neo_assets.sources.neows.fetcher_process._ENDS_WITHIN_S", 0.2)
    process = FetcherProcess(host_of(at(served), QUICK), Progress())
    with pytest.raises(FetcherEnded, match="has hung up"):
        next(process.call("pages", map(exec, ["raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})"])))
    process.close()


def test_a_caller_that_is_slow_to_say_what_it_wants_keeps_no_other_waiting(served: Served) -> None:
    control, stdin = socket.socketpair()
    program = "from neo_assets.sources.neows.fetcher import main; main()"
    with control, stdin, subprocess.Popen([sys.executable, "-c", program], stdin=stdin.fileno()) as process:
        messages.send(control, host_of(at(served), QUICK))
        slow, theirs = socket.socketpair()
        quick, theirs_too = socket.socketpair()
        with slow, quick, theirs, theirs_too:
            for one in (theirs, theirs_too):
                socket.send_fds(control, [WANTED], [one.fileno()])
            quick.settimeout(PATIENCE_S)
            for caller in (quick, slow):
                messages.send(caller, Call("fetch_stats", (), {}))
                caller.sendall(WANTED)
                while (reply := messages.receive(caller)).kind is not Kind.ANSWER:
                    assert reply.kind is Kind.NOTE
            control.close()
            assert process.wait(PATIENCE_S) == 0


# --- the process


def test_keys_are_neither_on_its_command_line_nor_in_its_environment(neows: NeoWs) -> None:
    neows.start()
    fetcher = fetcher_of(psutil.Process())
    assert KEY not in str((fetcher.cmdline(), fetcher.environ()))


def test_it_imports_what_its_parent_imports_whatever_the_working_directory_holds(served: Served) -> None:
    Path("httpx.py").write_text("raise ImportError")
    with NeoWs(at(served)) as neows:
        assert [page.number for page in neows.pages([0])] == [0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_signals_to_its_parent(neows: NeoWs, number: signal.Signals) -> None:
    assert len(list(neows.pages([0]))) == 1
    fetcher_of(psutil.Process()).send_signal(number)
    assert len(list(neows.pages([1]))) == 1
    assert neows.requests == 2


def test_if_it_is_killed_the_pages_still_missing_fail_and_the_next_use_starts_another(
    served: Served, neows: NeoWs
) -> None:
    numbers, came = range(6), set()
    pages = neows.pages(numbers)
    with held(served, 3, 5):
        for _ in range(4):
            came.add(next(pages).number)
        threading.Timer(0.2, fetcher_of(psutil.Process()).kill).start()
        with pytest.raises(PagesMissing) as caught:
            next(pages)
    assert came == {0, 1, 2, 4}
    assert set(caught.value.failed) == {3, 5}
    assert caught.value.retryable
    assert not caught.value.concerns_all
    assert str(caught.value.errors[0]) == "the process that fetches pages was ended by signal 9"
    served.answers = {}
    assert [page.number for page in neows.pages([3])] == [3]
    assert neows.requests > 6


def test_a_caller_does_not_wait_for_ever_for_a_process_that_does_not_answer(
    neows: NeoWs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neo_assets.sources.neows.fetcher_process._ENDS_WITHIN_S", 0.2)
    with closing(neows.pages(range(20))) as pages:
        next(pages)
        fetcher = fetcher_of(psutil.Process())
        fetcher.suspend()
        started = time.monotonic()
    neows.close()
    assert time.monotonic() < started + 5
    assert has_ended(fetcher)


@pytest.mark.parametrize("ask", [NeoWs.stats, NeoWs.heartbeat])
def test_if_it_is_killed_between_calls_nothing_is_lost(neows: NeoWs, ask: Callable[[NeoWs], object]) -> None:
    neows.start()
    fetcher = fetcher_of(psutil.Process())
    fetcher.kill()
    wait_until(lambda: has_ended(fetcher))
    assert ask(neows)


def test_if_it_is_killed_the_request_under_way_fails(served: Served, neows: NeoWs) -> None:
    served.app.add_middleware(Never)
    neows.start()
    threading.Timer(1, fetcher_of(psutil.Process()).kill).start()
    with pytest.raises(FetcherEnded) as caught:
        neows.stats()
    assert isinstance(caught.value, NeoWsError)


class Never:
    """Never answers."""

    def __init__(self, app: object) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


# --- its parent

PROGRAM = """
import sys
from contextlib import closing
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs
neows = NeoWs(Settings.load())
try:
    with closing(neows.pages(range(20))) as pages:
        for page in pages:
            print(page.number, flush=True)
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def parent(served: Served, **settings: object) -> Iterator["subprocess.Popen[str]"]:
    """A process with a group of its own, as in a terminal, which prints the numbers of the pages that arrive."""
    values = {"NASA_API_KEYS": KEY, "NEOWS_BASE_URL": served.url, "NEO_REQUESTS_PER_SECOND": 1e6} | settings
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", PROGRAM],
        env=os.environ | {name: str(value) for name, value in values.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        yield process


def test_if_its_parent_is_killed_it_ends_and_sends_nothing_more(served: Served) -> None:
    with held(served, *range(1, 20)), parent(served) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        fetcher = fetcher_of(psutil.Process(process.pid))
        wait_until(lambda: len(served.pages) == 1 + CONCURRENCY)
        os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: has_ended(fetcher))
        assert process.communicate() == ("", "")
    time.sleep(0.3)
    assert len(served.pages) == 1 + CONCURRENCY


@pytest.mark.parametrize(
    ("number", "code", "out"), [(signal.SIGINT, 0, "interrupted\n"), (signal.SIGTERM, -signal.SIGTERM, "")]
)
def test_a_signal_to_the_whole_group_ends_both_and_gives_the_slots_back(
    served: Served, number: signal.Signals, code: int, out: str
) -> None:
    with parent(served, NEO_REQUESTS_PER_HOUR=1) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        fetcher = fetcher_of(psutil.Process(process.pid))
        with NeoWs(at(served, requests_per_hour=1)) as neows:
            wait_until(lambda: slots_taken(neows))
            os.killpg(process.pid, number)
            wait_until(lambda: has_ended(fetcher))
            printed, said = process.communicate()
            assert (process.returncode, printed) == (code, out)
            assert "Traceback" not in said
            assert not slots_taken(neows)
    assert served.pages == [0]
