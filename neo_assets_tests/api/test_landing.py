"""Pushing files into the landing zone: whole or not at all, under names that are taken in, never over another file."""

import hashlib
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from neo_assets.api import limits
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.land import take_in
from neo_assets_tests.api.conftest import TOKEN, client_of
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import PATIENCE_S
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import body, neo

PAGE = body(neo("1"), neo("2"), *map(neo, map(str, range(3, 21))))


@pytest.fixture
def writing(lake: Storage) -> Iterator[httpx.Client]:
    with client_of(lake, api_token=SecretStr(TOKEN)) as client:
        yield client


def landed(lake: Storage) -> dict[str, bytes]:
    return {info.path: lake.read(info.path).to_pybytes() for info in lake.files("landing")}


@disk_and_s3
def test_a_file_that_is_pushed_is_taken_in(writing: httpx.Client, lake: Storage) -> None:
    answer = writing.put("/v1/landing/page-0.json", content=PAGE)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert (said["name"], said["bytes"], said["sha256"]) == (
        "page-0.json",
        len(PAGE),
        hashlib.sha256(PAGE).hexdigest(),
    )
    assert "neo land" in said["next"]
    assert landed(lake) == {"landing/page-0.json": PAGE}
    [taken] = take_in(lake, settings_of(pages=1, pages_per_set=1))
    assert (taken.refused, [facts.neos for facts in taken.pages]) == ("", [20])
    assert landed(lake) == {}
    assert writing.put("/v1/landing/page-0.json", content=PAGE).status_code == 201, "the name is free again"


@disk_and_s3
def test_another_file_of_the_name_is_kept(writing: httpx.Client, lake: Storage) -> None:
    assert writing.put("/v1/landing/a.ndjson", content=b"one").status_code == 201
    assert writing.put("/v1/landing/a.ndjson", content=b"one").status_code == 200
    answer = writing.put("/v1/landing/a.ndjson", content=b"two")
    assert (answer.status_code, "another name" in answer.json()["detail"]) == (409, True)
    assert landed(lake) == {"landing/a.ndjson": b"one"}


def test_of_several_at_once_one_is_kept(writing: httpx.Client, lake: Storage) -> None:
    contents = [str(number).encode() * 100_000 for number in range(6)]

    def put(content: bytes) -> int:
        return writing.put("/v1/landing/a.ndjson", content=content).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(put, contents))
    assert sorted(codes) == [201] + [409] * 5
    assert landed(lake) == {"landing/a.ndjson": contents[codes.index(201)]}


@pytest.mark.parametrize("name", ["a.json", "A.JSON.GZ", "a.ndjson.zst", "x_1-2.3.json"])
def test_names_that_are_taken_in_are_allowed(writing: httpx.Client, name: str) -> None:
    assert writing.put(f"/v1/landing/{name}", content=b"{}").status_code == 201


@pytest.mark.parametrize(
    "name",
    [
        *(".hidden.json", "a.csv", "a.json.reason.txt", "json", "a b.json", "a\\b.json", "ä.json", "-a.json"),
        *("%2e%2e%2fescaped.json", "..%5Cescaped.json", "a%00.json", "a%0a.json", "a" * 200 + ".json"),
    ],
)
def test_other_names_are_refused(writing: httpx.Client, lake: Storage, name: str) -> None:
    answer = writing.put(f"/v1/landing/{name}", content=b"{}")
    assert answer.status_code in (400, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert lake.files("") == []


@pytest.mark.parametrize("path", ["/v1/landing/a/b.json", "/v1/landing/../escaped.json", "/v1/landing/"])
def test_other_folders_are_not_there(writing: httpx.Client, lake: Storage, path: str) -> None:
    assert writing.put(path, content=b"{}").status_code in (404, 405)
    assert lake.files("") == []


def test_an_empty_file_is_refused(writing: httpx.Client, lake: Storage) -> None:
    answer = writing.put("/v1/landing/a.json", content=b"")
    assert (answer.status_code, answer.json()["detail"]) == (400, "The body is empty.")


def test_a_large_file_is_refused(writing: httpx.Client, lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGEST_FILE", 1_000)
    for content in (b"x" * 1_001, iter([b"x" * 600, b"x" * 600])):  # with its size, and without
        answer = writing.put("/v1/landing/a.json", content=content)
        assert (answer.status_code, answer.json()["detail"]) == (413, "The body may have 1,000 bytes at most.")
    assert lake.files("") == []
    assert writing.put("/v1/landing/a.json", content=b"x" * 1_000).status_code == 201


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_full_disk_is_told(writing: httpx.Client, lake: Storage, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    with Path("/dev/full").open("r+b") as full, monkeypatch.context() as patched:
        patched.setattr(tempfile, "TemporaryFile", lambda **_: full)
        answer = writing.put("/v1/landing/a.json", content=b"x" * size)
    assert (answer.status_code, answer.json()["detail"]) == (503, "There is no room for the file now.")
    assert lake.files("") == []
    assert writing.put("/v1/landing/a.json", content=b"x" * size).json()["bytes"] == size


@pytest.mark.parametrize("framing", ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n"])
def test_a_connection_that_is_cut_off_leaves_nothing(writing: httpx.Client, lake: Storage, framing: str) -> None:
    url = writing.base_url
    with socket.create_connection((url.host, url.port or 80)) as cut:
        head = f"PUT /v1/landing/a.json HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer {TOKEN}\r\n"
        cut.sendall((head + framing + "begun").encode())
        time.sleep(0.2)  # so that it is being read
    deadline = time.monotonic() + PATIENCE_S
    while writing.put("/v1/landing/b.json", content=b"{}").status_code != 200:  # the second time, it is there already
        assert time.monotonic() < deadline
    assert list(landed(lake)) == ["landing/b.json"]
