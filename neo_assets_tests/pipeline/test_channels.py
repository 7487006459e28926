"""The channels of alerts, against a real webhook and a real mail server on loopback: what arrives, what is said when
nothing does, and that no secret is in it.
"""

import logging
import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from neo_assets.pipeline.channels import Channel, Mail, Message, PartlyDelivered, Undelivered, Webhook, channels
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sinks import PASSWORD, SECRET, USER, mail_server, trickling, webhook

MESSAGE = Message("neo_assets: 1 check failed", "1 < 2 & more > less: größer")
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
TO = ("ada@example.org", "bob@example.org")


def refusal(channel: Channel) -> str:
    with pytest.raises(Undelivered) as caught:
        channel.send(MESSAGE)
    text = str(caught.value)
    assert "\n" not in text
    assert "secret" not in text.lower()
    assert quote(PASSWORD, safe="") not in text
    return text


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_by_default_alerts_go_to_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    [log] = channels(settings_of())
    log.send(MESSAGE)
    log.send(Message("", "over", good=True))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", MESSAGE.text),
        ("WARNING", "over"),
    ]


def test_each_setting_adds_its_channel() -> None:
    with_all = settings_of(alert_webhook="https://example.org/x", alert_smtp="smtp://example.org", alert_to=TO)
    assert [channel.name for channel in channels(with_all)] == ["log", "webhook", "e-mail"]
    assert [channel.where for channel in channels(with_all)[1:]] == [
        "example.org",
        "ada@example.org, bob@example.org by example.org:25",
    ]
    assert "/x" not in repr(channels(with_all))


def test_a_webhook_is_sent_slacks_json_with_its_characters_escaped() -> None:
    with webhook() as sink:
        Webhook(sink.url).send(MESSAGE)
    assert sink.texts == ["1 &lt; 2 &amp; more &gt; less: größer"]
    assert sink.paths == [SECRET]


def test_the_url_of_a_webhook_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook() as sink:
        Webhook(sink.url).send(MESSAGE)
        sink.status = 500
        refusal(Webhook(sink.url))
    assert "secret" not in caplog.text.lower()


def test_a_webhook_that_refuses_is_named_by_its_host_with_its_answer() -> None:
    with webhook() as sink:
        sink.status = 404
        text = refusal(Webhook(sink.url))
    assert text.endswith(" did not take the message (HTTP 404 no_service for ...): check NEO_ALERT_WEBHOOK")


def test_a_secret_within_another_does_not_uncover_the_rest_of_it() -> None:
    with webhook() as sink:
        sink.status = 404
        refusal(Webhook(sink.url.replace("http://", "http://robot:xyz@")))


@pytest.mark.parametrize("status", [301, 302, 429, 500, 503])
def test_a_webhook_has_taken_a_message_only_if_it_says_so(status: int) -> None:
    with webhook() as sink:
        sink.status = status
        text = refusal(Webhook(sink.url))
    assert f"HTTP {status}" in text
    assert ("check NEO_ALERT_WEBHOOK" in text) == (status < 500)


def test_servers_that_do_not_answer_are_named() -> None:
    port = unused_port()
    text = refusal(Webhook(f"http://127.0.0.1:{port}{SECRET}"))
    assert text.startswith(f"127.0.0.1:{port} cannot be reached (")
    assert text.endswith("): check NEO_ALERT_WEBHOOK")
    assert refusal(Mail(f"smtp://{LOGIN}127.0.0.1:{port}", TO)).startswith(f"127.0.0.1:{port} did not take the e-mail")


_HTTP, _TLS = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n", b"\x16\x03\x03\x40\x00"


@pytest.mark.parametrize(
    ("scheme", "first"),
    [
        pytest.param("http", _HTTP + b"X-Long: ", id="headers"),
        pytest.param("http", _HTTP + b"\r\n", id="body"),
        pytest.param("smtp", b"220-", id="greeting"),
        pytest.param("smtp", b"220 it\r\n250-", id="answer"),
        pytest.param("smtp", b"220-it\r\n" * 300_000, id="many lines"),
        pytest.param("smtp", b"220 it\r\n250-it\r\n250 STARTTLS\r\n220 go\r\n" + _TLS, id="starttls"),
        pytest.param("smtps", _TLS, id="tls"),
    ],
)
def test_a_server_that_answers_bit_by_bit_is_given_up(
    scheme: str, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neo_assets.pipeline.channels.LIMIT_S", 0.3)
    started = time.monotonic()
    with trickling(first) as server:
        url = f"{scheme}://{server}{SECRET}"
        text = refusal(Webhook(url) if scheme == "http" else Mail(url, TO))
        assert time.monotonic() - started < 10
    assert text.startswith(f"{server} ")


def test_mail_goes_to_all_addresses_from_the_user_whose_password_is_percent_encoded() -> None:
    with mail_server(with_user=True) as sink:
        Mail(f"smtp://{LOGIN}127.0.0.1:{sink.port}", TO).send(MESSAGE)
    [mail] = sink.mails
    assert (mail["From"], mail["To"], mail["Subject"]) == (USER, ", ".join(TO), MESSAGE.subject)
    assert mail.get_content().strip() == MESSAGE.text
    assert mail["Date"]
    assert mail["Message-ID"]


def test_a_server_without_users_needs_none() -> None:
    with mail_server() as sink:
        Mail(f"smtp://127.0.0.1:{sink.port}", TO).send(MESSAGE)
    [mail] = sink.mails
    assert mail["From"] == f"neo_assets@{socket.gethostname()}"


def test_a_password_is_not_sent_unencrypted_to_another_machine() -> None:
    with mail_server(with_user=True) as sink:
        text = refusal(Mail(f"smtp://{LOGIN}0.0.0.0:{sink.port}", TO))  # this machine, by a name that does not say so
    assert text == (
        f"0.0.0.0:{sink.port} offers no encryption, so the password is not sent: set NEO_ALERT_SMTP to smtps://..., or "
        "to a server that needs no user"
    )
    assert not sink.mails


def test_a_wrong_password_is_said_and_not_shown() -> None:
    with mail_server(with_user=True) as sink:
        text = refusal(Mail(f"smtp://{quote(USER)}:wrong-secret@127.0.0.1:{sink.port}", TO))
    assert "535" in text
    assert text.endswith(": check NEO_ALERT_SMTP")
    assert not sink.mails


@pytest.mark.parametrize(("refused", "error"), [(TO[1:], PartlyDelivered), (TO, Undelivered)])
def test_addresses_that_the_server_refuses_are_named(refused: tuple[str, ...], error: type[Undelivered]) -> None:
    with mail_server() as sink:
        sink.refused = set(refused)
        with pytest.raises(error) as caught:
            Mail(f"smtp://127.0.0.1:{sink.port}", TO).send(MESSAGE)
    assert str(caught.value) == f"127.0.0.1:{sink.port} refused {', '.join(refused)}: check NEO_ALERT_TO"
    assert len(sink.mails) == len(TO) - len(refused)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of localhost, and a server's context that uses it."""
    place = tmp_path_factory.mktemp("certificate")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(place / "key"), "-out", str(place / "certificate")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "certificate", place / "key")
    return place / "certificate", context


@pytest.mark.parametrize(("scheme", "option"), [("smtp", "tls_context"), ("smtps", "ssl_context")])
def test_mail_is_encrypted_where_the_server_offers_it(
    scheme: str, option: str, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate
    with mail_server(with_user=True, **{option: context}) as sink:
        channel = Mail(f"{scheme}://{LOGIN}127.0.0.1:{sink.port}", TO)
        assert "certificate" in refusal(channel), "a certificate that nobody vouches for"
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        channel.send(MESSAGE)
    assert len(sink.mails) == 1
    assert sink.encrypted
