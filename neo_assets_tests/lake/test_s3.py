"""Particular to S3: the requests sent, atomic objects, and the messages for S3 errors.

A real S3 server answers, except for what no local server does: redirect to another region, or close a connection early.
"""

import re
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.auth
import pyarrow as pa
import pytest

from neo_assets.lake import layout, tables
from neo_assets.lake.s3 import Bucket
from neo_assets.lake.storage import LakeError, LakeUnreachable, Storage
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets_tests.integration.harness import listening, nobody_at
from neo_assets_tests.s3_server import LAKES, SOCKETS, S3Server, counting, serving_s3

USES: dict[str, Callable[[Storage], object]] = {
    "read": lambda lake: lake.read("a/b"),
    "write": lambda lake: lake.write("a/b", b"x"),
    "list": lambda lake: lake.files("a"),
}
EACH_USE = pytest.mark.parametrize("use", USES)


def refusal(lake: Storage, use: str) -> LakeError:
    with pytest.raises(LakeError) as caught:
        USES[use](lake)
    message = str(caught.value)
    assert message.startswith(f"cannot {use} {lake.root}/a")
    assert "\n" not in message
    assert "-secret" not in message
    return caught.value


@pytest.fixture
def settings(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Storage]:
    """A function that sets variables on top of the administrator's, unsets those that are None, and returns a lake."""

    def set_them(lake: str | None = None, who: str = "admin", **variables: str | None) -> Storage:
        for name, value in (s3_server.settings(who) | variables).items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        return Storage(lake or s3_server.new_lake())

    return set_them


# --- requests


def test_each_use_is_one_request(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting(s3) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        lake = Storage(s3.new_lake())
        lake.write("a/b", b"x" * 20_000_000)
        lake.read("a/b")
        lake.read_tail("a/b", 10)
        lake.info("a/b")
        lake.files("a")
        lake.digests(["a/b", "a/c"])
        lake.delete("a/b")
        kinds = [request.split("?")[0].partition(" ")[0] for request in wire.requests]
    assert kinds == ["PUT", "GET", "GET", "HEAD", "LIST", "LIST", "DELETE"]


def test_no_directory_markers_are_written(s3: S3Server) -> None:
    lake = Storage(s3.new_lake())
    lake.write("a/b/c", b"x")
    lake.move("a/b/c", "a/d/e")
    assert s3.keys(lake.root).keys() == {"a/d/e"}
    lake.delete("a/d/e")
    assert s3.keys(lake.root) == {}
    assert s3.uploads() == []


def test_directory_markers_of_other_programs_are_not_files(s3: S3Server) -> None:
    lake = Storage(s3.new_lake())
    s3.client.put_object(Bucket=LAKES, Key=lake.root.removeprefix(f"s3://{LAKES}/") + "/a/", Body=b"")
    assert lake.files("") == []


def test_lakes_with_a_common_prefix_do_not_mix(s3: S3Server) -> None:
    lake = Storage(s3.new_lake())
    Storage(f"{lake.root}-2").write("a/b", b"x")
    assert lake.files("") == []
    lake.write("ab/c", b"x")
    assert lake.files("a") == []


def test_a_bucket_may_be_a_lake_without_a_prefix(s3: S3Server) -> None:
    s3.client.create_bucket(Bucket="whole")
    lake = Storage("s3://whole/")
    lake.write("lake.json", b"x")
    assert [info.path for info in lake.files("")] == ["lake.json"]
    assert s3.client.get_object(Bucket="whole", Key="lake.json")["Body"].read() == b"x"


def test_more_than_a_thousand_files_are_listed(s3: S3Server) -> None:
    lake = Storage(s3.new_lake())
    paths = [f"a/{number:04}" for number in range(1_001)]
    list(lake.each(lambda path: lake.write(path, b"x"), paths))
    assert [info.path for info in lake.files("a")] == paths
    assert lake.digests(paths[5:]).keys() == set(paths[5:])


@pytest.mark.parametrize("name", ["a=b", "a b", "a%b", "a+b~c", "a#b?c&d", "Größe…", "[a]*'"])
def test_names_are_kept_as_they_are(s3: S3Server, name: str) -> None:
    lake = Storage(s3.new_lake())
    for content in (b"x", b"y"):
        lake.write(name, content)
        assert lake.read(name).to_pybytes() == content
    assert s3.keys(lake.root).keys() == {name}


def test_only_what_is_asked_for_is_listed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing of a whole lake of 2,100 pages takes three requests, and boto3 half a second to read."""
    paths = [*(f"a/page-{number}" for number in range(20, 30)), "a/page-3", "b/page-20"]
    with counting(s3) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        lake = Storage(s3.new_lake())
        for path in paths:
            lake.write(path, b"x")
        wire.requests.clear()
        assert lake.digests(["a/page-22", "a/page-23", "a/page-2x"]).keys() == {"a/page-22", "a/page-23"}
        assert lake.digests(["a/page-3"]).keys() == {"a/page-3"}
        assert lake.digests(["a/page-3", "b/page-20"]).keys() == {"a/page-3", "b/page-20"}
    prefixes = [re.findall(r"prefix=lake-\d+%2F(.*?)&", request) for request in wire.requests]
    assert prefixes == [["a%2Fpage-2"], ["a%2Fpage-3"], [""]]


def test_times_are_read_without_dateutil(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took half the time of reading a listing."""
    monkeypatch.setattr("dateutil.parser.parse", lambda *_, **__: pytest.fail("it is slow"))
    lake = Storage(s3.new_lake())
    lake.write("a", b"x")
    [listed] = lake.files("")
    assert abs(listed.mtime - datetime.now(UTC)) < timedelta(minutes=1)


def test_parallel_reads_keep_their_order_and_run_only_a_few_ahead(s3: S3Server) -> None:
    lake, read = Storage(s3.new_lake()), list[int]()

    def noted(number: int) -> int:
        read.append(number)
        return number

    results = lake.each(noted, range(1_000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    time.sleep(0.1)
    assert len(read) < 40
    assert isinstance(results, Generator)
    results.close()
    assert list(lake.each(lambda number: -number, range(100))) == [-number for number in range(100)]


def test_a_file_written_or_read_before_is_not_read_again_until_it_changes(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [f"0000{number}-0000{number}" for number in range(4)]
    files = {layout.table_file(NEAR_MISS_COUNT, key): key for key in sets}

    def counts(number: int) -> pa.Table:
        return pa.Table.from_pylist([{"orbiting_body": "Earth", "near_misses": number}], schema=NEAR_MISS_COUNT.schema)

    with counting(s3) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        root = s3.new_lake()
        lake, other = Storage(root), Storage(root)

        def read() -> tuple[list[int], list[str], int]:
            wire.requests.clear()
            found = tables.read_page_sets(lake, NEAR_MISS_COUNT, sets)["near_misses"].to_pylist()
            got = [file for kind, file in (request.split(" ", 1) for request in wire.requests) if kind == "GET"]
            return found, [files[file.replace("%3D", "=")] for file in got], wire.kinds()["LIST"]

        tables.write_table(lake, NEAR_MISS_COUNT, counts(0), sets[0])
        for number in (1, 2, 3):
            tables.write_table(other, NEAR_MISS_COUNT, counts(number), sets[number])
        tables.read_table(lake, NEAR_MISS_COUNT, sets[1])
        assert tables.read_origins(lake, NEAR_MISS_COUNT, sets[2:3]) == [""]
        assert read() == ([0, 1, 2, 3], [sets[3]], 1)
        assert read() == ([0, 1, 2, 3], [], 1)
        tables.write_table(other, NEAR_MISS_COUNT, counts(7), sets[2])
        assert read() == ([0, 1, 7, 3], [sets[2]], 1)
        other.delete(layout.table_file(NEAR_MISS_COUNT, sets[0]))
        with pytest.raises(LakeError, match="is missing"):
            read()


def test_tables_of_rows_are_not_kept_in_memory(s3: S3Server) -> None:
    lake = Storage(s3.new_lake())
    rows = CLOSE_APPROACHES.schema.empty_table()
    before = pa.total_allocated_bytes()
    for number in range(20):
        tables.write_table(lake, CLOSE_APPROACHES, rows, f"{number:05}-{number:05}")
        tables.read_table(lake, CLOSE_APPROACHES, f"{number:05}-{number:05}")
    assert pa.total_allocated_bytes() - before < 1_000


def test_the_server_of_the_tests_leaves_nothing_in_the_systems_temporary_directory(tmp_path: Path) -> None:
    with serving_s3(tmp_path) as server:
        pid = server.process.pid
        assert list(tmp_path.glob(f"weed.*.{pid}"))
        sockets = {path for port in server.ports for path in SOCKETS.glob(f"seaweedfs-*-{port}.sock")}
        assert sockets
    assert not [path for path in sockets if path.exists()]
    assert not list(Path(tempfile.gettempdir()).glob(f"weed.*.{pid}"))


# --- refusals


@EACH_USE
def test_no_such_bucket(settings: Callable[..., Storage], use: str, s3_server: S3Server) -> None:
    message = str(refusal(settings("s3://nowhere/lake"), use))
    assert message.endswith(
        f"there is no bucket nowhere at {s3_server.url}: create it, or set NEO_LAKE to one that exists"
    )


@EACH_USE
def test_an_invalid_bucket_name(settings: Callable[..., Storage], use: str) -> None:
    assert "No_Bucket! is not a valid bucket name: set NEO_LAKE" in str(refusal(settings("s3://No_Bucket!/x"), use))


@EACH_USE
def test_a_wrong_access_key(settings: Callable[..., Storage], use: str) -> None:
    message = str(refusal(settings(AWS_ACCESS_KEY_ID="nobody"), use))
    assert re.search(r"http://127\.0\.0\.1:\d+ does not know the access key: set ", message)
    assert "AWS_ACCESS_KEY_ID" in message


@EACH_USE
def test_a_wrong_secret_key(settings: Callable[..., Storage], use: str) -> None:
    message = str(refusal(settings(AWS_SECRET_ACCESS_KEY="another-secret"), use))
    assert "the secret key does not match the access key" in message
    assert "AWS_SECRET_ACCESS_KEY" in message


def test_a_user_with_read_access_only(settings: Callable[..., Storage], s3_server: S3Server) -> None:
    root = s3_server.new_lake()
    settings(root).write("a/b", b"there")
    lake = settings(root, who="reader")
    assert lake.read("a/b").to_pybytes() == b"there"
    message = str(refusal(lake, "write"))
    assert "permission denied: grant s3:ListBucket on the bucket and s3:GetObject, s3:PutObject" in message
    assert settings(root).read("a/b").to_pybytes() == b"there"


@EACH_USE
def test_no_credentials(settings: Callable[..., Storage], use: str) -> None:
    message = str(refusal(settings(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None), use))
    assert "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"AWS_SECRET_ACCESS_KEY": None}, "the AWS credentials are incomplete: set AWS_PROFILE, or AWS_ACCESS_KEY_ID"),
        ({"AWS_PROFILE": "nobody"}, "set AWS_PROFILE to one of your profiles, or unset it"),
        ({"AWS_CONFIG_FILE": __file__}, f"Unable to parse config file: {__file__}: check the AWS_* settings"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1"}, "Invalid endpoint: 127.0.0.1: check AWS_ENDPOINT_URL"),
    ],
    ids=["half the credentials", "profile", "malformed file", "endpoint"],
)
def test_invalid_settings(settings: Callable[..., Storage], variables: dict[str, Any], hint: str) -> None:
    assert hint in str(refusal(settings(**variables), "read"))


@EACH_USE
def test_a_wrong_clock(settings: Callable[..., Storage], use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, now = settings(), botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *args: now(*args) - timedelta(hours=1))
    error = refusal(lake, use)
    assert "this machine's clock is wrong by more than 15 minutes: correct it, preferably with NTP" in str(error)
    assert not error.retryable


@EACH_USE
def test_an_endpoint_that_is_down(settings: Callable[..., Storage], use: str) -> None:
    with nobody_at() as address:
        error = refusal(settings(AWS_ENDPOINT_URL=f"http://{address}"), use)
    assert "does not answer: check AWS_ENDPOINT_URL and the network" in str(error)
    assert isinstance(error, LakeUnreachable)
    assert error.retryable


def test_an_endpoint_that_accepts_and_never_answers(
    settings: Callable[..., Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neo_assets.lake.s3._READ_S", 0.3)
    with listening() as silent:
        error = refusal(settings(AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}"), "read")
    assert "timed out or closed the connection early: check AWS_ENDPOINT_URL and the network" in str(error)
    assert error.retryable


def test_an_endpoint_without_tls(settings: Callable[..., Storage], s3_server: S3Server) -> None:
    error = refusal(settings(AWS_ENDPOINT_URL=s3_server.url.replace("http", "https")), "list")
    assert "set AWS_CA_BUNDLE" in str(error)
    assert not error.retryable


# --- responses that no local server sends


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve the same answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_PUT = do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def error_of(status: int, code: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        body = f"<Error><Code>{code}</Code><Message>no details</Message></Error>".encode()
        request.send_response(status)
        request.send_header("x-amz-bucket-region", "eu-west-1")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("status", "code", "hint", "retryable"),
    [
        (301, "PermanentRedirect", f"the bucket {LAKES} is in another region: set AWS_REGION to that region", False),
        (400, "IllegalLocationConstraintException", "is in another region: set AWS_REGION to that region", False),
        (400, "ExpiredToken", "the credentials have expired: renew AWS_SESSION_TOKEN", False),
        (503, "SlowDown", "is throttling requests: try again later", True),
        (429, "TooManyRequests", "is throttling requests: try again later", True),
        (400, "RequestTimeout", "timed out waiting for the request: check the network", True),
        (500, "InternalError", "refused the request: An error occurred (InternalError)", True),
        (418, "Teapot", "refused the request: An error occurred (Teapot)", False),
    ],
)
def test_errors_of_aws(settings: Callable[..., Storage], status: int, code: str, hint: str, retryable: bool) -> None:
    with answering(error_of(status, code)) as url:
        error = refusal(settings(AWS_ENDPOINT_URL=url, AWS_MAX_ATTEMPTS="1"), "read")
    assert hint in str(error)
    assert error.retryable is retryable


def test_a_bucket_in_another_region_is_found(settings: Callable[..., Storage]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if "/eu-west-1/s3/" not in request.headers["Authorization"]:
            error_of(301, "PermanentRedirect")(request)
        else:
            request.send_response(200)
            request.send_header("Content-Length", "5")
            request.end_headers()
            request.wfile.write(b"whole")

    with answering(answer) as url:
        assert settings(AWS_ENDPOINT_URL=url).read("a/b").to_pybytes() == b"whole"


def test_a_truncated_body_is_requested_again(settings: Callable[..., Storage]) -> None:
    answers = iter([b"hal", b"ha", b"whole"])

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "5")
        request.end_headers()
        request.wfile.write(next(answers))

    with answering(answer) as url:
        assert settings(AWS_ENDPOINT_URL=url).read("a/b").to_pybytes() == b"whole"


def test_bodies_that_are_always_truncated_are_reported(settings: Callable[..., Storage]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "5")
        request.end_headers()
        request.wfile.write(b"hal")

    with answering(answer) as url:
        error = refusal(settings(AWS_ENDPOINT_URL=url), "read")
    assert "timed out or closed the connection early" in str(error)
    assert error.retryable


# --- credentials


def test_a_profile_is_found(settings: Callable[..., Storage], tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[neo]\naws_access_key_id=admin\naws_secret_access_key=admin-secret\n")
    lake = settings(
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"),
        AWS_PROFILE="neo",
    )
    lake.write("a", b"x")
    assert lake.read("a").to_pybytes() == b"x"


def test_an_endpoint_for_s3_only_wins(settings: Callable[..., Storage], s3_server: S3Server) -> None:
    lake = settings(AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_S3=s3_server.url)
    assert lake.files("") == []


def test_other_errors_are_not_explained() -> None:
    assert Bucket("s3://bucket", 1).explain(KeyError("x")) is None
