"""The channels on which alerts go out: the log, a webhook and e-mail. What is sent, and when, is decided in `alerts`.

No error or log line shows what is secret: the webhook's URL but for its host, the mail server's user and password.
"""

import asyncio
import contextlib
import io
import logging
import smtplib
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx

from neo_assets.pipeline.text import one_line
from neo_assets.settings import Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LIMIT_S = 20.0
"""Longest time for one delivery, in seconds. Two channels that fail fit into the minute that Dagster gives a sensor.

Mail may take longer where looking up the server's name hangs, or where it has several addresses and none answers.
"""

_CHECK = "check NEO_ALERT_WEBHOOK"

_PORTS = {"smtp": 25, "smtps": 465}

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Hosts to which a password may go unencrypted, as nobody else can read or change what is sent."""


class Undelivered(Exception):
    """A message could not be delivered; the text says why, in one line."""


class PartlyDelivered(Undelivered):
    """Some did not receive the message. It is not to be sent again, as others would receive it twice."""


@dataclass(frozen=True)
class Message:
    """What is sent: one line that says what it is about, and the whole text."""

    subject: str
    text: str
    good: bool = False
    """Whether it says that something is over."""


class Channel(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """What the channel is called in the lake's file of incidents, and in messages to people."""

    @property
    def where(self) -> str:
        """Where messages go, without what is secret."""

    def send(self, message: Message) -> None:
        """Deliver a message.

        Raises:
            Undelivered: it was not delivered, or not to all.
        """


@dataclass(frozen=True)
class Log:
    """The log: always there. Each message is one warning or error."""

    logger: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))
    name: str = "log"
    where: str = "this program's log"

    def send(self, message: Message) -> None:
        """Write a message to the log."""
        # A lower level than a warning is not shown unless logging is configured.
        self.logger.log(logging.WARNING if message.good else logging.ERROR, "%s", message.text)


@dataclass(frozen=True)
class Webhook:
    """A webhook that takes Slack's JSON: an object with a `text`
    (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
    """

    url: str = field(repr=False)
    name: str = "webhook"

    @property
    def where(self) -> str:
        """The host, and the port if the URL names one; the rest of the URL is secret."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def send(self, message: Message) -> None:
        """Post a message.

        Raises:
            Undelivered: the server cannot be reached, or its status is not 2xx.
        """
        # Slack reads <...> as a link or a mention, and asks for these three to be escaped.
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        try:
            with _unlogged():
                response = asyncio.run(self._post(text))
        except TimeoutError:
            raise Undelivered(f"{self.where} did not answer within {LIMIT_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise Undelivered(f"{self.where} cannot be reached ({self._redacted(error)}): {_CHECK}") from None
        if not response.is_success:
            answer = self._redacted(f"HTTP {response.status_code} {response.text[:100]}")
            way_out = "" if response.is_server_error else f": {_CHECK}"
            raise Undelivered(f"{self.where} did not take the message ({answer}){way_out}")

    async def _post(self, text: str) -> httpx.Response:
        async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(timeout=None) as client:
            return await client.post(self.url, json={"text": text})

    def _redacted(self, error: Exception | str) -> str:
        parts = urlsplit(self.url)
        login = [parts.username or "", parts.password or ""]
        secrets = [self.url, f"{parts.path}?{parts.query}", parts.path, parts.query, *login]
        return _without(error, secrets)


@dataclass(frozen=True)
class Mail:
    """E-mail through an SMTP server, encrypted wherever the server offers it, always with `smtps`.

    Without encryption, no password leaves this machine: whoever sits in between could hide that the server offers it.
    """

    url: str = field(repr=False)
    to: tuple[str, ...]
    name: str = "e-mail"

    @property
    def where(self) -> str:
        """The addresses and the server."""
        host, port = self._server
        return f"{', '.join(self.to)} by {host}:{port}"

    def send(self, message: Message) -> None:
        """Send a message to all addresses.

        Raises:
            Undelivered: the server cannot be reached, or does not accept the user, the message or an address.
        """
        parts, (host, port) = urlsplit(self.url), self._server
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = user if "@" in user else f"neo_assets@{socket.gethostname()}"
        mail["To"] = ", ".join(self.to)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="neo-assets")
        mail.set_content(message.text)
        try:
            with self._connected(host, port) as server:
                if user:
                    if not isinstance(server.sock, ssl.SSLSocket) and host not in _THIS_MACHINE:
                        raise Undelivered(
                            f"{host}:{port} offers no encryption, so the password is not sent: set NEO_ALERT_SMTP to "
                            "smtps://..., or to a server that needs no user"
                        )
                    server.login(user, password)
                refused = server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise Undelivered(self._refusal(error.recipients)) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            secrets = [password, parts.password or "", user, parts.username or ""]
            reason = _without(error, secrets) or type(error).__name__
            raise Undelivered(f"{host}:{port} did not take the e-mail ({reason}): check NEO_ALERT_SMTP") from None
        if refused:
            raise PartlyDelivered(self._refusal(refused))

    def _refusal(self, addresses: Iterable[str]) -> str:
        host, port = self._server
        return f"{host}:{port} refused {', '.join(sorted(addresses))}: check NEO_ALERT_TO"

    @property
    def _server(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or _PORTS[parts.scheme]

    @contextlib.contextmanager
    def _connected(self, host: str, port: int) -> Iterator[smtplib.SMTP]:
        trusted = ssl.create_default_context()
        connect_s = LIMIT_S / 2  # for each address of the host, and for a TLS handshake
        if urlsplit(self.url).scheme == "smtps":
            with _SmtpOverTls(host, port, timeout=connect_s, context=trusted) as server:
                yield server
            return
        with _Smtp(host, port, timeout=connect_s) as server:
            server.ehlo_or_helo_if_needed()
            if server.has_extn("starttls"):
                server.starttls(context=trusted)
            yield server


class _Smtp(smtplib.SMTP):
    """A connection that ends after `LIMIT_S`, however many answers it takes and however slowly they arrive."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        self._until = time.monotonic() + LIMIT_S
        return super().connect(host, port, source_address)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock:
            self.file = io.BufferedReader(_Received(self.sock, self._until))
        return super().getreply()


class _SmtpOverTls(_Smtp, smtplib.SMTP_SSL):
    """The same with TLS from the beginning."""


class _Received(io.RawIOBase):
    """What arrives on a socket until a time (`time.monotonic`). A timeout of the socket would be for each piece."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)
        return self._sock.recv_into(buffer)


def channels(settings: Settings, logger: logging.Logger | None = None) -> list[Channel]:
    """The channels that the settings name; the log is always the first."""
    found: list[Channel] = [Log(logger) if logger else Log()]
    if settings.alert_webhook:
        found.append(Webhook(settings.alert_webhook.get_secret_value()))
    if settings.alert_smtp:
        found.append(Mail(settings.alert_smtp.get_secret_value(), settings.alert_to))
    return found


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keep httpx from logging requests: it would name the whole URL."""

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger = logging.getLogger("httpx")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _without(error: Exception | str, secrets: list[str]) -> str:
    """An error's text in one line, without these secrets, plain or percent-encoded."""
    text = one_line(str(error))
    forms = {form for one in secrets for form in (one, quote(one, safe=""), unquote(one))}
    for form in sorted(forms, key=len, reverse=True):  # a short one within a long one would spoil it
        if len(form) > 1:
            text = text.replace(form, "...")
    return text
