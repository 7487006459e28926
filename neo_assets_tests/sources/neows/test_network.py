"""The environment of the HTTP client: proxies and certificates that work, that fail, and that nobody can use."""

import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from neo_assets.sources.neows import errors
from neo_assets.sources.neows.network import certificates_for, connection_error, proxy_to
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.integration.harness import Ended, nobody_at
from neo_assets_tests.orchestration.assets.graph import KEY, at
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.fetching import QUICK, failure, fetch

NASA = "https://api.nasa.gov/neo/rest/v1"


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables, of which the environment has none at first."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)

    def only(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return only


def relay(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := here.recv(65_536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that handles each connection in a thread; yields its host and port."""

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            serve(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answering(answer: str) -> Callable[[socket.socket], None]:
    """Answers one request of any kind."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return serve


# --- no proxy


@pytest.mark.parametrize(
    "entries",
    [
        "fd07:b51a:cc66:f0::/64",
        "localhost,::1,[::1]",
        "[::1",
        "[fd00::]/8",
        "host:port",
        "http://[",
        "10.0.0.0/99",
        "a b,,;,:",
        "тест",
        "*.",
    ],
)
def test_odd_entries_of_no_proxy_do_no_harm(entries: str, only: Callable[..., None], served: Served) -> None:
    only(NO_PROXY=entries)
    with NeoWs(at(served), QUICK) as neows:
        assert [page.number for page in neows.pages([0])] == [0]
    only(HTTPS_PROXY="http://proxy:3128")
    assert proxy_to(NASA), "and exempt no other host"


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("*", NASA),
        ("api.nasa.gov", NASA),
        ("API.NASA.GOV", NASA),
        ("nasa.gov", NASA),
        (".nasa.gov", NASA),
        ("*.nasa.gov", NASA),
        ("api.nasa.gov:443", NASA),
        ("https://api.nasa.gov", NASA),
        ("all://api.nasa.gov", NASA),
        ("localhost other , api.nasa.gov", NASA),
        ("[::1, api.nasa.gov", NASA),
        ("localhost", "http://localhost:8900"),
        ("127.0.0.1", "http://127.0.0.1:8900"),
        ("127.0.0.1:8900", "http://127.0.0.1:8900"),
        ("127.0.0.0/8", "http://127.0.0.1:8900"),
        ("127.0.0.1/8", "http://127.0.0.1:8900"),
        ("::1", "http://[::1]:8900"),
        ("[::1]", "http://[::1]:8900"),
        ("[::1]:8900", "http://[::1]:8900"),
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f0::5]:8900"),
        ("[fd07:b51a:cc66:f0::]/64", "http://[fd07:b51a:cc66:f0::5]:8900"),
    ],
)
def test_no_proxy_lists_names_domains_addresses_and_networks(entry: str, url: str, only: Callable[..., None]) -> None:
    only(ALL_PROXY="http://proxy:3128", NO_PROXY=entry)
    assert proxy_to(url) is None


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("asa.gov", NASA),
        ("api.nasa.gov:80", NASA),
        ("http://api.nasa.gov", NASA),
        ("10.0.0.0/8", NASA),
        ("10.0.0.0/8", "http://127.0.0.1:8900"),
        ("::/0", "http://127.0.0.1:8900"),
        ("127.0.0.1:80", "http://127.0.0.1:8900"),
    ],
)
def test_no_proxy_exempts_no_others(entry: str, url: str, only: Callable[..., None]) -> None:
    only(ALL_PROXY="http://proxy:3128", NO_PROXY=entry)
    assert proxy_to(url)


def test_a_proxy_that_is_not_needed_does_no_harm(only: Callable[..., None], served: Served) -> None:
    only(HTTP_PROXY="nonsense://", NO_PROXY="127.0.0.0/8")
    with NeoWs(at(served), QUICK) as neows:
        assert [page.number for page in neows.pages([0])] == [0]
    only(ALL_PROXY="nonsense://", SSL_CERT_FILE="/none")
    with NeoWs(settings_of(), QUICK) as simulator:
        assert [page.number for page in simulator.pages([0])] == [0]


# --- a proxy


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://two:2"}, "the proxy http://one:1 of HTTPS_PROXY"),
        ({"HTTP_PROXY": "http://one:1", "ALL_PROXY": "http://two:2"}, "the proxy http://two:2 of ALL_PROXY"),
        ({"HTTP_PROXY": "http://one:1"}, "None"),
        ({"https_proxy": "one:1"}, "the proxy http://one:1 of HTTPS_PROXY"),
        ({"ALL_PROXY": "socks://127.0.0.1:7891/"}, "the proxy socks5://127.0.0.1:7891/ of ALL_PROXY"),
        ({"ALL_PROXY": "socks5h://me:secret@one:1"}, "the proxy socks5h://one:1 of ALL_PROXY"),
        ({"ALL_PROXY": ""}, "None"),
    ],
)
def test_the_proxy_comes_from_the_usual_variables(
    values: dict[str, str], chosen: str, only: Callable[..., None]
) -> None:
    only(**values)
    assert str(proxy_to(NASA)) == chosen


def socks5(connection: socket.socket) -> None:
    """A SOCKS5 proxy without a password (RFC 1928), for hosts by IPv4 address."""
    connection.recv(3)
    connection.sendall(b"\x05\x00")
    request = connection.recv(10)
    with socket.create_connection((socket.inet_ntoa(request[4:8]), int.from_bytes(request[8:10]))) as host:
        connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
        back = threading.Thread(target=relay, args=[host, connection], daemon=True)
        back.start()
        relay(connection, host)
        back.join()


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h"])
def test_a_socks_proxy_works(scheme: str, only: Callable[..., None], served: Served) -> None:
    went: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        went.append(connection)
        socks5(connection)

    with listening(serve) as address:
        only(ALL_PROXY=f"{scheme}://{address}")
        pages, failed = fetch(None, [0, 1], url=served.url)
    assert (sorted(pages), failed) == ([0, 1], {})
    assert went


@pytest.mark.parametrize(
    "value",
    [
        "socks4://one:1",
        "ftp://one:1",
        "http://",
        "://one",
        "http://one:port",
        "http://one:99999",
        "http://[::1",
        "http://one:1\n",
    ],
)
def test_an_unusable_proxy_is_told_by_its_variable(value: str, only: Callable[..., None]) -> None:
    only(HTTPS_PROXY=value)
    with pytest.raises(errors.Misconfigured) as caught:
        proxy_to(NASA)
    assert str(caught.value) == (
        f"HTTPS_PROXY={value!r} is not a proxy that can be used: give http://host:port, https://host:port or "
        "socks5://host:port, or list api.nasa.gov in NO_PROXY"
    )


@pytest.mark.parametrize("value", ["ftp://me:secret@one:1", "http://me:sec#ret@one:1", "me:secret@one:port"])
def test_a_message_about_a_proxy_holds_no_password(value: str, only: Callable[..., None]) -> None:
    only(HTTPS_PROXY=value)
    with pytest.raises(errors.Misconfigured, match=r"//\.\.\.@one") as caught:
        proxy_to(NASA)
    assert "me:" not in str(caught.value)
    assert "ret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("url", ["http://neows.example/v1", "https://neows.example/v1"])
def test_a_dead_proxy_is_told_by_its_variable(scheme: str, url: str, only: Callable[..., None]) -> None:
    with nobody_at() as address:
        only(ALL_PROXY=f"{scheme}://{address}")
        error = failure(None, url=url)
    assert type(error) is errors.Unreachable
    assert str(error).startswith(
        f"{url} cannot be reached through the proxy {scheme}://{address} of ALL_PROXY (All connection attempts failed)"
        "; check ALL_PROXY, or list neows.example in NO_PROXY"
    )


@pytest.mark.parametrize("url", ["http://neows.example/v1", "https://neows.example/v1"])
def test_a_proxy_that_wants_a_password_is_told_by_its_variable(url: str, only: Callable[..., None]) -> None:
    with listening(answering("407 Proxy Authentication Required")) as address:
        only(ALL_PROXY=address)
        error = failure(None, url=url)
    assert type(error) is errors.Refused
    assert str(error) == (
        f"the proxy http://{address} of ALL_PROXY refuses (407 Proxy Authentication Required); check ALL_PROXY, with "
        "user and password if the proxy needs them"
    )


@pytest.mark.parametrize(
    ("answer", "kind"), [("403 Forbidden", errors.Refused), ("502 Bad Gateway", errors.Unreachable)]
)
def test_a_proxy_that_opens_no_tunnel(answer: str, kind: type[errors.NeoWsError], only: Callable[..., None]) -> None:
    with listening(answering(answer)) as address:
        only(HTTPS_PROXY=f"http://me:secret@{address}")
        error = failure(None, url="https://neows.example/v1")
    assert type(error) is kind
    assert f"({answer}); check HTTPS_PROXY" in str(error)
    assert "secret" not in str(error)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_that_is_no_socks_proxy(only: Callable[..., None]) -> None:
    with listening(answering("400 Bad Request")) as address:
        only(ALL_PROXY=f"socks5://{address}")
        error = failure(None, url="http://neows.example/v1", policy=RetryPolicy(attempts=1))
    assert type(error) is errors.Unreachable
    assert "check ALL_PROXY" in str(error)
    del error  # httpcore 1.0 does not close the connection; the error's traceback holds it
    gc.collect()


def test_a_refusal_by_a_firewall_names_the_proxy_if_there_is_one(only: Callable[..., None]) -> None:
    with listening(answering("403 Forbidden")) as address:
        only(HTTP_PROXY=address)
        error = failure(None, url="http://neows.example/v1")
    assert str(error).endswith(f"so it comes from something in between; check the proxy http://{address} of HTTP_PROXY")


def test_a_407_without_a_proxy_of_ours_comes_from_one_in_between() -> None:
    error = failure(lambda request: httpx.Response(407))
    assert type(error) is errors.Refused
    assert str(error) == "a proxy in between answered 407 Proxy Authentication Required; check the network's proxy"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_host_whose_name_is_not_allowed_cannot_be_reached(host: str) -> None:
    error = failure(None, url=f"http://{host}/v1")
    assert type(error) is errors.Unreachable
    assert "check the network and NEOWS_BASE_URL" in str(error)


# --- certificates

BROKEN = {
    "missing": "cannot be read (No such file or directory): name a PEM file of certificates, or unset it",
    "folder": "cannot be read (Is a directory): name a PEM file of certificates, or unset it",
    "empty": "holds no certificates: name a PEM file of them, or unset it",
    "garbage": "holds no certificates: name a PEM file of them, or unset it",
    "broken.pem": "holds no certificates: name a PEM file of them, or unset it",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
    return tmp_path


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_without_certificates_is_told_by_its_variable(name: str, files: Path, only: Callable[..., None]) -> None:
    only(SSL_CERT_FILE=files / name)
    neows = NeoWs(settings_of(nasa_api_keys=KEY), QUICK)
    with pytest.raises(errors.PagesMissing) as caught:
        list(neows.pages([3, 4]))
    assert str(caught.value) == (
        f"2 of 2 pages could not be fetched (pages 3, 4): the file that SSL_CERT_FILE names {BROKEN[name]}"
    )
    assert caught.value.concerns_all
    assert not caught.value.retryable
    with pytest.raises(errors.Misconfigured, match="SSL_CERT_FILE"):
        neows.stats()


def test_a_key_log_that_cannot_be_written_is_told_by_its_variable(files: Path, only: Callable[..., None]) -> None:
    only(SSLKEYLOGFILE=files / "folder")
    with pytest.raises(errors.Misconfigured) as caught:
        certificates_for(NASA)
    assert str(caught.value) == (
        f"SSLKEYLOGFILE={files / 'folder'} cannot be written (Is a directory): correct it, or unset it"
    )


def test_plain_http_does_without_certificates(
    files: Path, only: Callable[..., None], served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    only(SSL_CERT_FILE=files / "missing")
    with NeoWs(at(served), QUICK) as neows:
        assert [page.number for page in neows.pages([0])] == [0]
    assert [record.message for record in caplog.records] == [
        f"the file that SSL_CERT_FILE names {BROKEN['missing']}; plain http does without it"
    ]


def test_a_certificate_that_is_not_trusted_names_both_variables() -> None:
    cause = ssl.SSLCertVerificationError()
    cause.verify_message = "self-signed certificate in certificate chain"
    outer = httpx.ConnectError("failed")
    outer.__cause__ = cause
    error = connection_error(NASA, None, outer, "failed")
    assert type(error) is errors.CertificateRejected
    assert str(error) == (
        f"{NASA}: its TLS certificate is not trusted (self-signed certificate in certificate chain); check "
        "NEOWS_BASE_URL, or name a file with its issuer's certificate in SSL_CERT_FILE"
    )


def test_a_run_reports_the_environment_in_one_line(
    neo: Callable[..., Ended], files: Path, only: Callable[..., None]
) -> None:
    ended = neo("run", NASA_API_KEYS=KEY, NEO_PAGES=2, NEO_LAKE=files / "lake", SSL_CERT_FILE=files / "empty")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "Error: 2 of 2 pages could not be fetched (pages 0, 1): the file that SSL_CERT_FILE names holds no "
        "certificates: name a PEM file of them, or unset it"
    )
