"""A shortcut past boto3 on S3: obstore moves the bytes of whole objects, in a sixth of the CPU time.

What errors mean, and all other requests, stay with `s3`: boto3 makes the first request, which shows where to send them,
and repeats whatever the shortcut fails at. If boto3 then succeeds, the shortcut is not taken again.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import botocore.session
import pyarrow as pa
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

Answer = TypeVar("Answer")

_MOST_BYTES = 1 << 20
"""Larger objects are left to boto3, which waits for as long as bytes flow."""

_WAIT = timedelta(seconds=5)
"""How long to wait for a connection, and for an answer, before boto3 is asked."""

_VALID = timedelta(minutes=10)
"""How long credentials are taken to be valid. botocore renews them 10 minutes before they expire, or earlier; obstore
asks again for them 5 minutes before.
"""


class Shortcut:
    """Reads and writes objects of one bucket, once a client of boto3 has done so."""

    def __init__(self, session: botocore.session.Session, client: Any, bucket: str) -> None:
        """
        Args:
            session: where `client` has its credentials and settings from.
            client: a client of boto3; its successful requests are watched.
            bucket: name of the bucket.
        """
        self._session, self._client, self._bucket = session, client, bucket
        self._last = threading.local()
        self._place: tuple[str, bool] | None = None
        self._is_open = _is_plain(session, client)
        for operation in ("GetObject", "PutObject"):
            client.meta.events.register(f"after-call.s3.{operation}", self._note)

    def get(self, key: str, otherwise: Callable[[], pa.Buffer]) -> pa.Buffer:
        """Read an object. `otherwise` does the same with boto3."""

        def get(store: "S3Store") -> pa.Buffer:
            found = store.get(_as_it_is(key))
            data = pa.py_buffer(memoryview(found.bytes()))
            # boto3 compares a checksum; obstore compares nothing.
            if (found.meta["e_tag"] or "").strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
                raise ValueError("the content cannot be checked")
            return data

        return self._either(key, get, otherwise)

    def put(self, key: str, data: bytes, otherwise: Callable[[], str]) -> str:
        """Write an object with one PUT, which is atomic. Returns its ETag. `otherwise` does the same with boto3."""

        def put(store: "S3Store") -> str:
            tag = store.put(_as_it_is(key), data, use_multipart=False)["e_tag"]
            if not tag:
                raise ValueError("there is no ETag")
            return tag.strip('"')

        return self._either(key, put, otherwise) if len(data) <= _MOST_BYTES else otherwise()

    def _either(self, key: str, shortly: Callable[["S3Store"], Answer], otherwise: Callable[[], Answer]) -> Answer:
        if not self._is_open:
            return otherwise()
        if not self._place:
            answer = otherwise()
            self._learn(key)
            return answer
        with contextlib.suppress(Exception):  # boto3 tells what it is
            return shortly(self._store)
        answer = otherwise()
        self._is_open = False
        return answer

    def _note(self, http_response: Any, **_: object) -> None:
        """Note where this thread has sent a request to."""
        self._last.url = http_response.url

    def _learn(self, key: str) -> None:
        """Learn from a successful request for this key whether the bucket is in the host's name, or in the path."""
        url = urlsplit(self._last.url)
        if unquote(url.path) == f"/{self._bucket}/{key}":
            self._place = f"{url.scheme}://{url.netloc}", False
        elif unquote(url.path) == f"/{key}" and url.netloc.startswith(f"{self._bucket}."):
            self._place = f"{url.scheme}://{url.netloc}", True
        else:
            self._is_open = False

    @cached_property
    def _store(self) -> "S3Store":
        from obstore.auth.boto3 import Boto3CredentialProvider
        from obstore.store import S3Store

        assert self._place
        endpoint, bucket_in_host = self._place
        wanted = self._client.meta.config.request_checksum_calculation != "when_required"
        checksums: S3Config = {"checksum_algorithm": "SHA256"} if wanted else {}
        return S3Store(
            self._bucket,
            config=checksums,
            endpoint=endpoint,
            virtual_hosted_style_request=bucket_in_host,
            region=self._client.meta.region_name,
            credential_provider=Boto3CredentialProvider(self._session, ttl=_VALID),
            client_options={
                "allow_http": endpoint.startswith("http:"),
                "connect_timeout": _WAIT,
                "read_timeout": _WAIT,
                "timeout": timedelta(hours=1),
            },
            retry_config={"max_retries": 0},
        )


def _is_plain(session: botocore.session.Session, client: Any) -> bool:
    """Whether obstore would send requests as boto3 does: signed alike, to the host itself, and trusting it alike."""
    url = urlsplit(client.meta.endpoint_url)
    return (
        client.meta.config.signature_version == "s3v4"
        and not {url.scheme, "all"} & get_environ_proxies(client.meta.endpoint_url).keys()
        and not (url.scheme == "https" and session.get_config_variable("ca_bundle"))  # obstore would only add it
    )


def _as_it_is(key: str) -> str:
    if key.startswith("/"):
        raise ValueError("obstore would drop the slash")
    return key
