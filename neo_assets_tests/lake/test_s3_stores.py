"""S3 stores that lack something, and credentials from files and programs.

What a real server does is tested in `test_s3`; no local server lacks these things.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import LakeUnreachable, Storage
from neo_assets.schema.pages import SIMULATOR
from neo_assets_tests.integration.harness import nobody_at
from neo_assets_tests.lake.s3_double import (
    INVALID_ARGUMENT,
    NO_SUCH_KEY,
    NOT_IMPLEMENTED,
    PLAIN_404,
    Answer,
    Handler,
    Store,
    refusal,
)

WHEN_REQUIRED = "if only writing fails, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"


@pytest.fixture
def lake(store: Store) -> Storage:
    return Storage("s3://bucket/neo")


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
