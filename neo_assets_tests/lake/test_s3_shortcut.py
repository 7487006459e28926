"""Who moves the bytes of whole objects on S3: obstore, unless something is special. boto3 words every error."""

import contextlib
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import botocore.session
import pytest

from neo_assets.lake.s3_shortcut import Shortcut
from neo_assets.lake.storage import LakeUnreachable, Storage
from neo_assets_tests.integration.harness import listening
from neo_assets_tests.lake.s3_double import (
    INVALID_ARGUMENT,
    PLAIN_404,
    Store,
    refusal,
)


@pytest.fixture
def lake(store: Store) -> Storage:
    return Storage("s3://bucket/neo")


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
