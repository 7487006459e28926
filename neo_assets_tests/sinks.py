"""Real receivers of alerts on loopback: a webhook and a mail server. No assertions here."""

import asyncio
import contextlib
import json
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SECRET = "/services/T0SECRET/B0SECRET/xyz-secret"
"""Path of the webhook."""

USER, PASSWORD = "robot@example.org", "p@ss/w:rd-secret"


@dataclass
class WebhookSink:
    """A webhook; `status` is what it answers, and `texts` what it was sent while that was 200."""

    url: str = ""
    status: int = 200
    texts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextlib.contextmanager
def webhook(port: int = 0) -> Iterator[WebhookSink]:
    """A running webhook."""
    sink = WebhookSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.paths.append(self.path)
            if sink.status == 200:
                sink.texts.append(json.loads(body)["text"])
            self.send_response(sink.status)
            self.end_headers()
            self.wfile.write(f"no_service for {self.path}".encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        sink.url = f"http://127.0.0.1:{server.server_address[1]}{SECRET}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def trickling(first: bytes) -> Iterator[str]:
    """A server that sends these bytes, and then one every 10 ms, for 20 s. Yields its host and port."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the other side has had enough
                self.request.sendall(first)
                for _ in range(2000):
                    self.request.sendall(b"x")
                    time.sleep(0.01)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@dataclass
class MailSink:
    """A mail server; `refused` are addresses that it does not know."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    encrypted: bool = False

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        assert server.transport is not None
        self.encrypted = server.transport.get_extra_info("sslcontext") is not None
        return "250 OK"


class _Controller(Controller):
    """A mail server on a port that the system chooses."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd has no types there


@contextlib.contextmanager
def mail_server(with_user: bool = False, **options: Any) -> Iterator[MailSink]:
    """A running mail server, which demands `USER` and `PASSWORD` if asked to."""
    sink = MailSink()

    def known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
        fits = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=fits, handled=False)

    if with_user:
        options |= {"authenticator": known, "auth_required": True, "auth_require_tls": False}
    server = _Controller(sink, hostname="127.0.0.1", port=0, server_hostname="localhost", **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
        server.start()
        try:
            sink.port = server.port
            yield sink
        finally:
            server.stop()
