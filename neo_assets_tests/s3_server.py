"""A real S3 server on loopback (SeaweedFS) for tests and benchmarks, and a wire that counts the requests sent to it. No
assertions here.
"""

import contextlib
import itertools
import json
import math
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import boto3
import httpx

from neo_assets_tests.integration.harness import free_port

LAKES = "lakes"
"""A bucket, in which each test has its own prefix."""

VERSIONED = "versioned"
"""A bucket with versioning, which shows every write."""

SOCKETS = Path("/tmp")
"""Where the server puts its sockets, whatever it is told. Their names end with its ports."""

_PORTS = ("s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc")
_MORE_PORTS = ("filer", "filer.port.grpc", "admin", "admin.port.grpc")
_OPTIONS = ("admin.ui=false", "webdav=false", "s3.autoCreateBucket=false", "s3.port.iceberg=0", "s3.port.lance=0")
_ADMIN = ["Admin", "Read", "Write", "List", "Tagging"]
_START_S = 120
_START_ATTEMPTS = 3


LEAST = json.loads(
    re.findall(r"```json\n(.*?)```", (Path(__file__).parents[1] / "docs/s3.md").read_text(), re.DOTALL)[0]
    .replace("your-bucket/neo/", f"{LAKES}/")
    .replace("your-bucket", LAKES)
)
"""The least IAM policy, as in `docs/s3.md`."""

_READ = json.loads(json.dumps(LEAST).replace(', "s3:PutObject", "s3:DeleteObject"', ""))

POLICIES = {"least": LEAST, "reader": _READ}
"""Users besides `admin`, with their policies. Each user's secret is the name followed by `-secret`."""


@dataclass
class S3Server:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    ports: Collection[int]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def settings(self, who: str = "admin", url: str | None = None) -> dict[str, str]:
        """The environment variables to reach it as a user; `url` replaces its own."""
        return {
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_ACCESS_KEY_ID": who,
            "AWS_SECRET_ACCESS_KEY": f"{who}-secret",
            "AWS_REGION": "us-east-1",
        }

    @cached_property
    def client(self) -> Any:
        """A client with the administrator's keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="admin",
            aws_secret_access_key="admin-secret",
            region_name="us-east-1",
        )

    def new_lake(self, bucket: str = LAKES) -> str:
        """An empty lake's URL."""
        return f"s3://{bucket}/lake-{next(self._numbers)}"

    def keys(self, lake: str) -> dict[str, str]:
        """The objects of a lake with their ETags, by path."""
        bucket, _, prefix = lake.removeprefix("s3://").partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return {
            item["Key"].removeprefix(f"{prefix}/"): item["ETag"] for page in pages for item in page.get("Contents", [])
        }

    def kill(self) -> None:
        """End it, without the sockets that it would leave behind."""
        self.process.kill()
        self.process.wait()
        for port in self.ports:
            for path in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def uploads(self) -> list[str]:
        """Unfinished multipart uploads."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=LAKES).get("Uploads", [])]


@contextlib.contextmanager
def serving_s3(directory: Path) -> Iterator[S3Server]:
    """Run a server that keeps its data in a directory."""
    identities: list[dict[str, Any]] = [{"name": "admin", "actions": _ADMIN}]
    identities += [{"name": who, "policyNames": [who]} for who in POLICIES]
    for one in identities:
        one["credentials"] = [{"accessKey": one["name"], "secretKey": f"{one['name']}-secret"}]
    policies = [{"name": who, "content": json.dumps(what)} for who, what in POLICIES.items()]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "s3.json").write_text(json.dumps({"identities": identities, "policies": policies}))
    for attempt in range(_START_ATTEMPTS):  # another process may take a port first
        server = _start(directory, directory / f"data-{attempt}")
        if _comes_up(server):
            break
    else:
        raise RuntimeError(f"the S3 server does not start: {(directory / 'log').read_text()[-2000:]}")
    try:
        for bucket in (LAKES, VERSIONED):
            server.client.create_bucket(Bucket=bucket)
        server.client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration={"Status": "Enabled"})
        yield server
    finally:
        server.kill()


def _start(directory: Path, data: Path) -> S3Server:
    free = set[int]()
    while len(free) < len(_PORTS + _MORE_PORTS):
        free.add(free_port())
    ports = dict(zip(_PORTS + _MORE_PORTS, free, strict=True))
    command = [
        str(Path(sys.executable).with_name("weed")),
        f"-logdir={directory}",
        *("mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
        *(f"-dir={data}", f"-s3.config={directory / 's3.json'}"),
        *(f"-{name if '.' in name else f'{name}.port'}={port}" for name, port in ports.items()),
        *(f"-{option}" for option in _OPTIONS),
    ]
    data.mkdir()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return S3Server(f"http://127.0.0.1:{ports['s3']}", process, free)


def _comes_up(server: S3Server) -> bool:
    """Wait until it answers; kill it if it does not."""
    deadline = time.monotonic() + _START_S
    try:
        while server.process.poll() is None and time.monotonic() < deadline:
            if _answers(server.url):
                return True
            time.sleep(0.05)
    except BaseException:
        server.kill()
        raise
    server.kill()
    return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Wire:
    """A proxy in front of a server that records each request, such as `PUT bronze/raw_pages/page-00000.json.zst`.

    A request that the SDK repeats because the answer was slow is recorded once.
    """

    url: str
    requests: list[str] = field(default_factory=list)

    def kinds(self) -> Counter[str]:
        """Number of requests of each kind: GET, PUT, LIST, ..."""
        return Counter(request.split()[0] for request in self.requests)


@contextlib.contextmanager
def counting(server: S3Server, most_puts: float = math.inf) -> Iterator[Wire]:
    """Open a wire to a server. It works on TCP level, so it counts requests of any program and keeps signatures valid.

    After `most_puts` writes, it stops answering, so a client is still writing when the test kills it.
    """
    over = threading.Event()
    port, connections = int(server.url.rpartition(":")[2]), set[socket.socket]()

    class Carrier(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.add(self.connection)
            with socket.create_connection(("127.0.0.1", port)) as there:
                back = threading.Thread(target=_pour, args=(there, self.connection))
                back.start()
                with contextlib.suppress(ConnectionError):
                    while head := _head(self.rfile):
                        if wire.kinds()["PUT"] >= most_puts:
                            over.wait()
                            break
                        if not re.search(rb"(?i)\r\namz-sdk-request: *attempt=[2-9]", head):
                            wire.requests.append(_named(head.split(b"\r\n", 1)[0].decode()))
                        _carry_request(head, self.rfile, there)
                with contextlib.suppress(OSError):
                    there.shutdown(socket.SHUT_RDWR)
                back.join()
            connections.remove(self.connection)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Carrier) as listener:
        wire = Wire(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield wire
        finally:
            over.set()
            listener.shutdown()
            thread.join()
            for connection in list(connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _head(source: BufferedIOBase) -> bytes:
    """The request line and the headers; empty at the end of the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (line := source.readline()):
            return b""
        head += line
    return head


def _carry_request(head: bytes, source: BufferedIOBase, there: socket.socket) -> None:
    there.sendall(head)
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        size = -1
        while size:
            line = source.readline()
            size = int(line.split(b";")[0], 16)
            there.sendall(line + source.read(size + 2))
    elif length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
        there.sendall(source.read(int(length[1])))


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


def _named(line: str) -> str:
    """`GET /bucket?list-type=2&... HTTP/1.1` -> `LIST`; `PUT /bucket/lake-0/a/b HTTP/1.1` -> `PUT a/b`."""
    method, url, _ = line.split()
    path, _, query = url.partition("?")
    if "list-type" in query:
        return f"LIST {query}"
    return f"{method} {'/'.join(path.split('/')[3:])}{'?' + query if query else ''}"
