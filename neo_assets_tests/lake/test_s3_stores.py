"""S3 stores that lack something, and credentials from files and programs.

What a real server does is tested in `test_s3`; no local server lacks these things.
"""

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import pytest

from neo_assets.lake import owner
from neo_assets.lake.s3_shortcut import Shortcut
from neo_assets.lake.storage import LakeError, LakeUnreachable, Storage
from neo_assets.schema.pages import SIMULATOR
from neo_assets_tests.integration.harness import listening, nobody_at

Answer = tuple[int, bytes]
NOT_IMPLEMENTED = (501, b"<Error><Code>NotImplemented</Code><Message>A header is\nnot implemented</Message></Error>")
INVALID_ARGUMENT = (400, b"<Error><Code>InvalidArgument</Code><Message>Unsupported header</Message></Error>")
NO_SUCH_KEY = (404, b"<Error><Code>NoSuchKey</Code></Error>")
PLAIN_404 = (404, b"<html>\n<p>not found</html>")
WHEN_REQUIRED = "if only writing fails, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"


@dataclass
class Store:
    """An S3 store that keeps objects in memory, and answers headers whose names match `refused` as it says."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, Answer] = field(default_factory=dict)
    missing: Answer = NO_SUCH_KEY
    etags: bool = True
    encrypted: bool = False
    """Whether ETags are no MD5s, as with KMS."""
    askers: list[str] = field(default_factory=list)
    """Who sent each request: `boto3` or `obstore`, and with which access key."""


class Handler(BaseHTTPRequestHandler):
    """Answers the requests that a lake sends."""

    protocol_version = "HTTP/1.1"

    def __init__(self, store: Store, *arguments: object) -> None:
        self.store = store
        super().__init__(*arguments)  # type: ignore[arg-type]  # passed on as given

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for pattern, answer in self.store.refused.items():
            if any(re.match(pattern, name, re.IGNORECASE) for name in self.headers):
                return self.answer(*answer)
        self.store.objects[self.path] = body
        return self.answer(200, b"", body)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            keys = "".join(
                f"<Contents><Key>{path.split('/', 2)[2]}</Key><Size>1</Size>"
                f"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
                for path in sorted(self.store.objects)
            )
            return self.answer(200, f"<ListBucketResult>{keys}</ListBucketResult>".encode())
        content = self.store.objects.get(self.path)
        return self.answer(*self.store.missing) if content is None else self.answer(200, content, content)

    def do_HEAD(self) -> None:
        content = self.store.objects.get(self.path)
        return self.answer(404, b"") if content is None else self.answer(200, b"", content)

    def answer(self, status: int, body: bytes, content: bytes | None = None) -> None:
        [key] = re.findall(r"Credential=([^/]*)/", self.headers.get("Authorization", "Credential=/"))
        self.store.askers.append(f"{'boto3' if 'Boto3' in self.headers['User-Agent'] else 'obstore'} {key}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if content is not None and self.store.etags:
            sealed = b"key" + content if self.store.encrypted else content
            self.send_header("ETag", f'"{hashlib.md5(sealed).hexdigest()}"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store, with its address in the environment."""
    store = Store()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, store)) as server:
        server.daemon_threads = True  # the SDK keeps its connections open
        store.url = f"http://127.0.0.1:{server.server_port}"
        variables = {
            "AWS_ENDPOINT_URL": store.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield store
        server.shutdown()
        thread.join()


@pytest.fixture
def lake(store: Store) -> Storage:
    return Storage("s3://bucket/neo")


def refusal(use: Callable[[], object], kind: type[LakeError] = LakeError) -> str:
    with pytest.raises(LakeError) as caught:
        use()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestConditionalWrites:
    """`create` where the store does not know If-None-Match, or reports a conflict."""

    @pytest.mark.parametrize("answer", [NOT_IMPLEMENTED, INVALID_ARGUMENT, (501, b""), (400, b"no"), (400, b"")])
    def test_a_lake_can_be_begun(self, store: Store, lake: Storage, answer: Answer) -> None:
        store.refused = {"If-None-Match": answer}
        assert owner.claim(lake, SIMULATOR)
        assert store.objects == {"/bucket/neo/lake.json": b'{"source": "simulator"}'}
        assert not owner.claim(lake, SIMULATOR)

    def test_what_exists_is_not_replaced(self, store: Store, lake: Storage) -> None:
        store.refused = {"If-None-Match": NOT_IMPLEMENTED}
        assert lake.create("a", b"first")
        assert not lake.create("a", b"second")
        assert store.objects == {"/bucket/neo/a": b"first"}

    def test_what_another_process_creates_at_the_same_time_is_not_replaced(self, store: Store, lake: Storage) -> None:
        """S3 answers 409 while another conditional write of the same object is under way."""
        store.refused = {"If-None-Match": (409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")}
        store.objects = {"/bucket/neo/a": b"theirs"}
        assert not lake.create("a", b"ours")
        assert store.objects == {"/bucket/neo/a": b"theirs"}

    @pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
    def test_other_refusals_are_reported(self, store: Store, lake: Storage, code: str) -> None:
        store.refused = {"If-None-Match": (400, f"<Error><Code>{code}</Code></Error>".encode())}
        assert "AWS_SESSION_TOKEN" in refusal(lambda: lake.create("a", b"x"))
        assert store.objects == {}


class TestChecksums:
    """Stores that refuse the checksums that the SDK adds to each write."""

    CODES = (
        *("InvalidArgument", "InvalidRequest", "NotImplemented", "XAmzContentSHA256Mismatch", "MissingContentLength"),
        *("SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "BadDigest"),
    )

    @pytest.mark.parametrize("code", CODES)
    def test_the_setting_that_helps_is_named(self, store: Store, lake: Storage, code: str) -> None:
        store.refused = {"x-amz-(sdk-)?checksum": (400, f"<Error><Code>{code}</Code></Error>".encode())}
        assert refusal(lambda: lake.write("a", b"x")).endswith(f"; {WHEN_REQUIRED}")
        assert refusal(lambda: lake.create("a", b"x")).endswith(f"; {WHEN_REQUIRED}")

    def test_it_is_named_where_errors_have_no_xml(self, store: Store, lake: Storage) -> None:
        store.refused = {"x-amz-(sdk-)?checksum": (400, b"Bad\nRequest")}
        assert refusal(lambda: lake.write("a", b"x")).endswith(f"; {WHEN_REQUIRED}")

    def test_with_that_setting_writing_works(
        self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        store.refused = {"x-amz-(sdk-)?checksum": INVALID_ARGUMENT, "If-None-Match": NOT_IMPLEMENTED}
        assert lake.create("lake.json", b"x")
        lake.write("a", b"x")
        assert store.objects == {"/bucket/neo/lake.json": b"x", "/bucket/neo/a": b"x"}

    def test_it_is_not_named_once_it_is_set(self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        store.refused = {"Content-Length": INVALID_ARGUMENT}
        assert "when_required" not in refusal(lambda: lake.write("a", b"x"))

    def test_it_is_not_named_for_a_refused_account(self, store: Store, lake: Storage) -> None:
        store.refused = {"Content-Length": (403, b"<Error><Code>AccessDenied</Code></Error>")}
        assert "when_required" not in refusal(lambda: lake.write("a", b"x"))


class TestAnswers:
    """Answers that a store of S3 does not give."""

    def test_without_etags_a_store_cannot_hold_a_lake(self, store: Store, lake: Storage) -> None:
        store.etags = False
        hint = f"{store.url} gives no ETags, which tell whether a file has changed: set NEO_LAKE to another place"
        assert refusal(lambda: lake.write("a", b"x")) == f"cannot write s3://bucket/neo/a: {hint}"
        assert refusal(lambda: lake.digests(["a"])) == f"cannot list s3://bucket/neo/a: {hint}"

    @pytest.mark.parametrize("answer", [PLAIN_404, (404, b""), (404, b"<Error><Code>Other</Code></Error>")])
    def test_only_the_stores_own_word_means_that_a_file_is_missing(
        self, store: Store, lake: Storage, answer: Answer
    ) -> None:
        store.missing = answer
        message = refusal(lambda: lake.read("a"))
        assert store.url in message
        store.missing = NO_SUCH_KEY
        with pytest.raises(FileNotFoundError):
            lake.read("a")

    def test_a_server_of_another_kind_is_told(self, store: Store, lake: Storage) -> None:
        store.missing = PLAIN_404
        assert refusal(lambda: lake.read("a")) == (
            f"cannot read s3://bucket/neo/a: {store.url} does not answer like an S3 server: check AWS_ENDPOINT_URL"
        )

    def test_an_error_of_several_lines_becomes_one(self, store: Store, lake: Storage) -> None:
        store.missing = NOT_IMPLEMENTED
        assert "A header is not implemented" in refusal(lambda: lake.read("a"))


class TestShortcut:
    """Who moves the bytes of whole objects: obstore, unless something is special."""

    @staticmethod
    def askers(store: Store) -> list[str]:
        """Who asked since the last call."""
        names = [one.split()[0] for one in store.askers]
        store.askers.clear()
        return names

    def test_it_is_taken_once_boto3_has_shown_the_way(self, store: Store, lake: Storage) -> None:
        digest = lake.write("a", b"x")
        assert lake.write("a", b"x") == digest
        assert lake.read("a").to_pybytes() == b"x"
        assert self.askers(store) == ["boto3", "obstore", "obstore"]
        assert store.objects == {"/bucket/neo/a": b"x"}

    def test_a_read_shows_the_way_too(self, store: Store, lake: Storage) -> None:
        store.objects["/bucket/neo/a"] = b"x"
        assert [lake.read("a").to_pybytes(), lake.read("a").to_pybytes()] == [b"x", b"x"]
        assert self.askers(store) == ["boto3", "obstore"]

    def test_it_is_left_for_good_where_only_boto3_succeeds(self, store: Store, lake: Storage) -> None:
        store.refused = {"x-amz-checksum-sha256": INVALID_ARGUMENT}
        for path in ("a", "b", "c"):
            lake.write(path, b"x")
        assert self.askers(store) == ["boto3", "obstore", "boto3", "boto3"]
        assert len(store.objects) == 3

    def test_an_error_has_the_line_that_boto3_gives_it(self, store: Store, lake: Storage) -> None:
        lake.write("a", b"x")
        store.refused = {"Content-Length": (403, b"<Error><Code>AccessDenied</Code></Error>")}
        assert "permission denied: grant" in refusal(lambda: lake.write("a", b"y"))
        store.missing = PLAIN_404
        assert "does not answer like an S3 server" in refusal(lambda: lake.read("b"))
        store.refused = {}
        self.askers(store)
        lake.write("a", b"y")
        assert self.askers(store) == ["obstore"]

    def test_a_missing_file_does_not_end_it(self, store: Store, lake: Storage) -> None:
        lake.write("a", b"x")
        with pytest.raises(FileNotFoundError):
            lake.read("b")
        self.askers(store)
        lake.read("a")
        assert self.askers(store) == ["obstore"]

    def test_a_store_that_goes_away_is_reported(self, store: Store, lake: Storage) -> None:
        lake.write("a", b"x")
        lake.write("a", b"x")
        store.refused = {"Host": (503, b"<Error><Code>SlowDown</Code></Error>")}
        assert "is throttling requests: try again later" in refusal(lambda: lake.write("a", b"x"), LakeUnreachable)

    def test_what_it_cannot_check_is_read_by_boto3(self, store: Store, lake: Storage) -> None:
        lake.write("a", b"x")
        store.encrypted = True
        assert [lake.read("a").to_pybytes(), lake.read("a").to_pybytes()] == [b"x", b"x"]
        assert self.askers(store) == ["boto3", "obstore", "boto3", "boto3"]

    def test_large_objects_are_written_by_boto3(
        self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("neo_assets.lake.s3_shortcut._MOST_BYTES", 2)
        for content in (b"12", b"12", b"123"):
            lake.write("a", content)
        assert self.askers(store) == ["boto3", "obstore", "boto3"]

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "all_proxy"])
    def test_it_is_not_taken_past_a_proxy(
        self, store: Store, lake: Storage, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, store.url)
        lake.write("a", b"x")
        lake.write("a", b"x")
        assert self.askers(store) == ["boto3", "boto3"]

    @pytest.mark.parametrize("trusts_others", [True, False])
    def test_it_is_not_taken_where_other_certificates_are_trusted(
        self, store: Store, trusts_others: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """obstore would trust the system's certificates besides those of AWS_CA_BUNDLE."""
        with listening() as server:
            url = f"https://127.0.0.1:{server.getsockname()[1]}"
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            if trusts_others:
                monkeypatch.setenv("AWS_CA_BUNDLE", __file__)
            monkeypatch.setattr("neo_assets.lake.s3_shortcut._WAIT", timedelta(seconds=0.3))
            session = botocore.session.get_session()
            client = session.create_client("s3")
            shortcut = Shortcut(session, client, "bucket")

            def by_boto3() -> str:
                answer = SimpleNamespace(status_code=200, url=f"{url}/bucket/a")
                client.meta.events.emit("after-call.s3.PutObject", http_response=answer, context={})
                return "by boto3"

            assert [shortcut.put("a", b"x", by_boto3) for _ in range(2)] == ["by boto3"] * 2
            server.settimeout(0.3)
            with pytest.raises(TimeoutError) if trusts_others else contextlib.nullcontext():
                server.accept()[0].close()

    def test_no_proxy_is_none(self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://nobody.test")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        lake.write("a", b"x")
        lake.write("a", b"x")
        assert self.askers(store) == ["boto3", "obstore"]

    def test_it_is_not_taken_to_an_endpoint_with_a_path(
        self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{store.url}/s3")
        lake.write("a", b"x")
        lake.write("a", b"y")
        assert self.askers(store) == ["boto3", "boto3"]
        assert store.objects == {"/s3/bucket/neo/a": b"y"}

    @pytest.mark.parametrize("lake", ["s3://127/neo", "s3://127/127"])
    def test_a_bucket_named_like_the_start_of_its_host(self, store: Store, lake: str) -> None:
        """At http://bucket.host/key the bucket is part of the host, at http://host/bucket/key it is not."""
        storage = Storage(lake)
        storage.write("a", b"x")
        storage.write("a", b"y")
        assert self.askers(store) == ["boto3", "obstore"]
        assert store.objects == {f"{lake.removeprefix('s3:/')}/a": b"y"}

    def test_a_slash_at_the_start_of_a_key_is_kept(self, store: Store) -> None:
        lake = Storage("s3://bucket//neo")
        lake.write("a", b"x")
        lake.write("a", b"y")
        assert store.objects == {"/bucket//neo/a": b"y"}

    def test_it_sends_no_checksums_that_are_not_wanted(
        self, store: Store, lake: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        store.refused = {"x-amz-(sdk-)?checksum": INVALID_ARGUMENT}
        lake.write("a", b"x")
        lake.write("a", b"x")
        assert self.askers(store) == ["boto3", "obstore"]

    def test_credentials_are_renewed(
        self, store: Store, lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        count = tmp_path / "count"
        program = tmp_path / "program"
        program.write_text(
            f"echo >> {count}\n"
            f'echo \'{{"Version": 1, "AccessKeyId": "\'key$(wc -l < {count})\'", "SecretAccessKey": "secret", \''
            '\'"Expiration": "\'$(date -u -d "+20 seconds" +%Y-%m-%dT%H:%M:%SZ)\'"}\'\n'
        )
        (tmp_path / "config").write_text(f"[profile neo]\ncredential_process = sh {program}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_PROFILE", "neo")
        monkeypatch.setattr("neo_assets.lake.s3_shortcut._VALID", timedelta(0))
        for _ in range(3):
            lake.write("a", b"x")
            time.sleep(0.2)  # obstore asks at most ten times a second
        assert [one.split()[0] for one in store.askers] == ["boto3", "obstore", "obstore"]
        assert len(set(store.askers)) == 3


class TestCredentials:
    """Files and programs that give credentials, and proxies on the way: a missing one is not a missing table."""

    @pytest.fixture(autouse=True)
    def _no_keys(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)

    @pytest.fixture
    def program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Sets the program that a profile gets its credentials from."""

        def set_it(command: str) -> None:
            (tmp_path / "config").write_text(f"[profile neo]\ncredential_process = {command}\n")
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            monkeypatch.setenv("AWS_PROFILE", "neo")

        return set_it

    @pytest.mark.parametrize("use", ["read", "write", "files", "digests", "move", "delete", "info"])
    def test_a_token_file_that_is_missing(self, lake: Storage, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/neo")
        arguments: dict[str, tuple[object, ...]] = {"write": ("a", b"x"), "move": ("a", "b"), "digests": (["a"],)}
        message = refusal(lambda: getattr(lake, use)(*arguments.get(use, ("a",))))
        assert message.endswith(
            "the AWS credentials cannot be obtained ([Errno 2] No such file or directory: '/nowhere/token'): "
            "check AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE and the other AWS_* settings"
        )

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            ("/no/such/program", "No such file or directory: '/no/such/program'"),
            ("/", "Permission denied: '/'"),
            ("sh -c 'echo one >&2; echo two >&2; exit 1'", "one two"),
            ("echo hello", "Expecting value: line 1 column 1"),
        ],
    )
    def test_a_program_that_fails(
        self, lake: Storage, program: Callable[[str], None], command: str, reason: str
    ) -> None:
        program(command)
        message = refusal(lambda: lake.read("a"))
        assert "the AWS credentials cannot be obtained (" in message
        assert reason in message

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ((403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"), "AccessDenied"),
            ((200, b"<html>\n" + b"welcome " * 1_000), "invalid XML"),
        ],
    )
    def test_a_role_that_may_not_be_assumed(
        self, lake: Storage, answer: Answer, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The answer comes from another service than S3, so it is not about permissions on the bucket."""
        (tmp_path / "token").write_text("token")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/neo")
        monkeypatch.setattr(Handler, "do_POST", lambda self: self.answer(*answer), raising=False)
        message = refusal(lambda: lake.read("a"))
        assert "the AWS credentials cannot be obtained (" in message
        assert reason in message
        assert len(message) < 600

    def test_a_service_of_credentials_that_does_not_answer(
        self, lake: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "token").write_text("token")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/neo")
        with nobody_at() as address:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://{address}")
            message = refusal(lambda: lake.read("a"), LakeUnreachable)
        assert message.endswith(f"http://{address} does not answer: check AWS_ENDPOINT_URL and the network")

    def test_a_proxy_that_does_not_answer(self, lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        with nobody_at() as address:
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://somewhere.test")
            monkeypatch.setenv("HTTP_PROXY", f"http://user:password@{address}")
            message = refusal(lambda: lake.read("a"), LakeUnreachable)
        assert "password" not in message
        assert message.endswith(f'"http://***:***@{address}": check HTTP_PROXY and HTTPS_PROXY')
