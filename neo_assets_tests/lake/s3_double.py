"""A small S3 store in memory, which may lack something or refuse requests. Tests of what it is asked are elsewhere."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from neo_assets.lake.storage import LakeError

Answer = tuple[int, bytes]
NOT_IMPLEMENTED = (501, b"<Error><Code>NotImplemented</Code><Message>A header is\nnot implemented</Message></Error>")
INVALID_ARGUMENT = (400, b"<Error><Code>InvalidArgument</Code><Message>Unsupported header</Message></Error>")
NO_SUCH_KEY = (404, b"<Error><Code>NoSuchKey</Code></Error>")
PLAIN_404 = (404, b"<html>\n<p>not found</html>")


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


def refusal(use: Callable[[], object], kind: type[LakeError] = LakeError) -> str:
    with pytest.raises(LakeError) as caught:
        use()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)
