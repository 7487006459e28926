"""Reports that clients have ordered: made from the stored database piece by piece, and collected at last.
Who does so, and when, is decided in `orchestration.requests`; which steps a request takes, in `products.requests`.
"""

import contextlib
import hashlib
import io
import time
from collections.abc import Callable, Generator, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from neo_assets.api.answers import signature
from neo_assets.api.orders import selection
from neo_assets.api.problems import Problem
from neo_assets.api.query import Whole, whole
from neo_assets.api.snapshots import Snapshot, Snapshots, with_times_as_text
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.products.requests import (
    LONGEST_S,
    TOOK_TOO_LONG,
    ReportFailed,
    Request,
    Requests,
    Status,
)
from neo_assets.products.requests_database import RequestsUnusable
from neo_assets.products.spreadsheet import as_csv

_PIECE = 1 << 20


class _TookTooLong(Exception):
    """A report takes longer than it may."""


def work_off(
    requests: Requests,
    lake: Storage,
    job_id: str,
    retries: int,
    run_id: str,
    progressed: Callable[[], object] = lambda: None,
    longest_s: float = LONGEST_S,
) -> Request | None:
    """Make the report of a request, if the request is still queued. If that fails, it is queued once more.

    Args:
        requests: where the request is kept.
        lake: the lake.
        job_id: the request.
        retries: how often it was given back before this attempt.
        run_id: who works it off.
        progressed: called when a part of the report is done.
        longest_s: how long it may take, in seconds.

    Returns:
        The request, with its report; None if it is not queued, or this attempt is over.

    Raises:
        ReportFailed: its report cannot be made.
        LakeError: the lake cannot be read or written.
        RequestsUnusable: it cannot be noted what became of the request.
    """
    taken = requests.take(job_id, retries, run_id)
    if not taken:
        return None
    path = layout.report_at_work(job_id, retries, taken.order.format)
    try:
        digest, size = _make(lake, taken, path, progressed, longest_s)
    except Problem as problem:
        if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR:  # such as a metric that is there no more
            requests.fail(taken, _in_words(problem))
        else:
            requests.give_back(taken, _in_words(problem))
        raise ReportFailed(f"request {job_id}: {_in_words(problem)}") from None
    except _TookTooLong:
        requests.give_back(taken, TOOK_TOO_LONG)
        raise ReportFailed(f"request {job_id}: {TOOK_TOO_LONG}") from None
    except BaseException:
        with contextlib.suppress(RequestsUnusable):  # the first error is the one to report
            requests.give_back(taken, "it could not be made; the run that tried has the reason")
        raise
    done = requests.succeed(taken, path, digest, size)
    if not done:
        lake.delete(path)
        raise ReportFailed(f"request {job_id}: it was given to another run before this one had ended")
    return done


def collect(requests: Requests, lake: Storage) -> tuple[list[Request], list[Request]]:
    """Move the reports that were made to `reports/`, in order of arrival, and delete what attempts have left.

    Returns:
        The requests whose reports were collected, and those that have failed now, as their reports are damaged or lost.

    Raises:
        LakeError: the lake cannot be read or written.
        RequestsUnusable: the requests cannot be read or written.
    """
    collected, damaged = [], []
    for done in requests.those(Status.SUCCESS):
        target = layout.report(done.job_id, done.order.format)
        if _is_whole(lake, done, done.report_file_path or ""):
            with contextlib.suppress(FileNotFoundError):  # another process is faster
                lake.move(done.report_file_path or "", target)
        if not _is_whole(lake, done, target):
            requests.lost(done, "its report is damaged or lost")
            damaged.append(done)
        elif now := requests.collected(done, target):
            collected.append(now)
    left = lake.files(layout.WORK)
    over = {one.job_id for one in requests.those(Status.FAILED, Status.DOWNLOADED)} if left else set()
    for info in left:
        if layout.request_of(info.path) in over:
            with contextlib.suppress(FileNotFoundError):
                lake.delete(info.path)
    return collected, damaged


def opened(requests: Requests, lake: Storage, done: Request) -> pa.NativeFile:
    """The report of a request, which may be collected meanwhile.

    Raises:
        FileNotFoundError: it is lost.
        LakeError: it cannot be read.
        RequestsUnusable: it is not known where it is.
    """
    try:
        return lake.open(done.report_file_path or "")
    except FileNotFoundError:
        now = requests.get(done.job_id) or done
        paths = {now.report_file_path or "", layout.report(done.job_id, done.order.format)}
        for path in paths - {done.report_file_path}:
            with contextlib.suppress(FileNotFoundError):
                return lake.open(path)
        raise


def _make(
    lake: Storage, taken: Request, path: str, progressed: Callable[[], object], longest_s: float
) -> tuple[str, int]:
    """Write the report. Returns the SHA-256 of its content, and its size."""
    until, digest, size = time.monotonic() + longest_s, hashlib.sha256(), 0

    def measured(snapshot: Snapshot) -> Generator[bytes, None, None]:
        nonlocal size
        for piece in _pieces(snapshot, taken):
            if time.monotonic() > until:
                raise _TookTooLong
            digest.update(piece)
            size += len(piece)
            progressed()
            yield piece

    with (
        contextlib.closing(Snapshots(lake, LONGEST_S)) as snapshots,
        snapshots.current() as snapshot,
        contextlib.closing(measured(snapshot)) as pieces,
    ):
        lake.write_pieces(path, pieces)
    return digest.hexdigest(), size


def _pieces(snapshot: Snapshot, taken: Request) -> Iterator[bytes]:
    """The report, piece by piece. It is the same for the same snapshot."""
    order = taken.order
    resource, asked = selection(snapshot, order.table, order.parameters)
    query = whole(snapshot, resource, asked)
    with contextlib.closing(snapshot.pieces(query.sql, query.values)) as tables:
        if order.format in ("arrow", "parquet"):
            yield from _binary(tables, signature(snapshot), order.format)
            return
        texts = map(with_times_as_text, tables)
        if order.format == "csv":
            yield from _csv(texts)
        elif order.format == "ndjson":
            yield from (b"".join(msgspec.json.encode(row) + b"\n" for row in rows.to_pylist()) for rows in texts)
        else:
            columns = snapshot.columns[resource.relation]
            units = {name: columns[name]["unit"] for name in query.fields if columns[name]["unit"]}
            yield from _json(texts, snapshot, query, units)


def _csv(tables: Iterator[pa.Table]) -> Iterator[bytes]:
    header = as_csv(next(tables))  # the first piece has no rows
    yield header
    for rows in tables:
        yield as_csv(rows).removeprefix(header)


def _json(tables: Iterator[pa.Table], snapshot: Snapshot, query: Whole, units: dict[str, str]) -> Iterator[bytes]:
    """The envelope of answers, with all rows in it."""
    [total] = snapshot.rows(query.count, query.values)["n"].to_pylist()
    about = {"signature": signature(snapshot), "count": total, "total": total, "next": None}
    yield msgspec.json.encode(about | {"fields": query.fields, "units": units}).removesuffix(b"}") + b',"data":['
    comma = b""
    for rows in tables:
        if rows.num_rows:
            values = list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
            yield comma + msgspec.json.encode(values)[1:-1]
            comma = b","
    yield b"]}\n"


def _binary(tables: Iterator[pa.Table], about: dict[str, Any], form: str) -> Iterator[bytes]:
    """An Arrow IPC stream or a Parquet file; the schema's metadata say where the rows come from."""
    sink = _Sink()
    schema = next(tables).schema.with_metadata({name: str(value) for name, value in about.items()})
    with pq.ParquetWriter(sink, schema) if form == "parquet" else pa.ipc.new_stream(sink, schema) as writer:
        for rows in tables:
            writer.write_table(rows.replace_schema_metadata(schema.metadata))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Keeps what is written to it until it is taken."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """How much was written."""
        return self._at

    def write(self, data: Any) -> int:
        """Keep some bytes."""
        self._held.append(bytes(data))
        self._at += len(self._held[-1])
        return len(self._held[-1])

    def taken(self) -> bytes:
        """What was written since the last call."""
        held, self._held = self._held, []
        return b"".join(held)


def _is_whole(lake: Storage, done: Request, path: str) -> bool:
    """Whether a file is the report that was made."""
    digest = hashlib.sha256()
    try:
        with lake.open(path) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == done.sha256


def _in_words(problem: Problem) -> str:
    return "; ".join([problem.detail, *(f"{name}: {said}" for name, said in problem.errors)])
