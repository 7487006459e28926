"""A shortcut past boto3 on S3: obstore moves the bytes of whole objects, in a sixth of the CPU time.

What errors mean, and all other requests, stay with `s3`: boto3 makes the first request, which shows where to send them,
and repeats whatever the shortcut fails at. If boto3 then succeeds, the shortcut is not taken again.
"""

import contextlib
import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

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
        self._url = ""  # of a successful request
        self._is_open = _is_plain(session, client)
        for operation in ("GetObject", "PutObject"):
            client.meta.events.register(f"after-call.s3.{operation}", self._learn)

    def get(self, key: str, otherwise: Callable[[], pa.Buffer]) -> pa.Buffer:
        """Read an object. `otherwise` does the same with boto3."""

        def get(store: "S3Store") -> pa.Buffer:
            found = store.get(_as_it_is(key))
            data = pa.py_buffer(memoryview(found.bytes()))
            # boto3 compares a checksum; obstore compares nothing.
            if (found.meta["e_tag"] or "").strip('"') != hashlib.md5(data, usedforsecurity=False).hexdigest():
                raise ValueError("the content cannot be checked")
            return data

        return self._either(get, otherwise)

    def put(self, key: str, data: bytes, otherwise: Callable[[], str]) -> str:
        """Write an object with one PUT, which is atomic. Returns its ETag. `otherwise` does the same with boto3."""

        def put(store: "S3Store") -> str:
            tag = store.put(_as_it_is(key), data, use_multipart=False)["e_tag"]
            if not tag:
                raise ValueError("there is no ETag")
            return tag.strip('"')

        return self._either(put, otherwise) if len(data) <= _MOST_BYTES else otherwise()

    def _either(self, shortly: Callable[["S3Store"], Answer], otherwise: Callable[[], Answer]) -> Answer:
        if not self._url or not self._is_open:
            return otherwise()
        with contextlib.suppress(Exception):  # boto3 tells what it is
            return shortly(self._store)
        answer = otherwise()
        self._is_open = False
        return answer

    def _learn(self, http_response: Any, **_: object) -> None:
        """Note where boto3 has sent a request to."""
        if http_response.status_code == 200:
            self._url = http_response.url

    @cached_property
    def _store(self) -> "S3Store":
        from obstore.auth.boto3 import Boto3CredentialProvider
        from obstore.store import S3Store

        url = urlsplit(self._url)
        wanted = self._client.meta.config.request_checksum_calculation != "when_required"
        checksums: S3Config = {"checksum_algorithm": "SHA256"} if wanted else {}
        return S3Store(
            self._bucket,
            config=checksums,
            endpoint=f"{url.scheme}://{url.netloc}",
            virtual_hosted_style_request=url.netloc.startswith(f"{self._bucket}."),
            region=self._client.meta.region_name,
            credential_provider=Boto3CredentialProvider(self._session, ttl=_VALID),
            client_options={
                "allow_http": url.scheme == "http",
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
        and url.path in ("", "/")
        and not {url.scheme, "all"} & get_environ_proxies(client.meta.endpoint_url).keys()
        and not (url.scheme == "https" and session.get_config_variable("ca_bundle"))  # obstore would only add it
    )


def _as_it_is(key: str) -> str:
    if key.startswith("/"):
        raise ValueError("obstore would drop the slash")
    return key
