"""The lake in an S3 bucket: one request for each object read or written, and clear messages for S3 errors.

Why boto3 and not pyarrow's S3 filesystem (26.0): boto3 finds credentials, region and endpoint wherever AWS users put
them, and renews role credentials during long runs; it reads an object with one request, where pyarrow needs two; it
reports a missing bucket, where pyarrow lists nothing; it writes an object above 10 MB with one PUT, where pyarrow
starts a multipart upload that a killed run leaves behind; and it writes no directory markers.

`s3_shortcut` reads and writes whole objects faster where it can; what follows an error is decided here.

Why not dagster-aws's `S3Resource`: its client has no timeout settings and waits minutes for a silent endpoint.
"""

import contextlib
import os
import textwrap
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from http.client import IncompleteRead
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import pyarrow as pa
import urllib3.exceptions
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp
from pyarrow import fs

from neo_assets.lake.s3_shortcut import Shortcut

# A silent endpoint is reported within 35 s: three attempts (the default of AWS_MAX_ATTEMPTS) and the pauses between.
# The shortcut may wait 5 s before.
_CONNECT_S = 5
_READ_S = 10
_BODY_ATTEMPTS = 3

_GRANT = "grant s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"
_CHOOSE = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_DENIED = f"permission denied: {_GRANT}, or use other credentials ({_CHOOSE})"
_INVALID_NAME = "{bucket} is not a valid bucket name: set NEO_LAKE to s3://bucket/prefix"
_EXPIRED = "the credentials have expired: renew AWS_SESSION_TOKEN and its keys, or log in again (`aws sso login`)"
_OTHER_REGION = "the bucket {bucket} is in another region: set AWS_REGION to that region"
_THROTTLED = "{endpoint} is throttling requests: try again later"
_CREDENTIALS = (
    "the AWS credentials cannot be obtained ({error}): "
    "check AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE and the other AWS_* settings"
)
_NOT_S3 = "{endpoint} does not answer like an S3 server: check AWS_ENDPOINT_URL"
_HINTS_BY_CODE = {
    "NoSuchBucket": "there is no bucket {bucket} at {endpoint}: create it, or set NEO_LAKE to one that exists",
    "InvalidBucketName": _INVALID_NAME,
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": f"{{endpoint}} does not know the access key: {_CHOOSE}",
    "SignatureDoesNotMatch": f"the secret key does not match the access key: {_CHOOSE}",
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": "the session token does not match the access key: set AWS_SESSION_TOKEN, or unset it",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than 15 minutes: correct it, preferably with NTP",
    "PermanentRedirect": _OTHER_REGION,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "IllegalLocationConstraintException": _OTHER_REGION,
    "301": _OTHER_REGION,  # the code in a response to HEAD
    "404": _NOT_S3,  # S3 gives a reason in XML
    "SlowDown": _THROTTLED,
    "TooManyRequests": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "RequestTimeout": "{endpoint} timed out waiting for the request: check the network",
    "QuotaExceeded": "the bucket's quota is used up: raise it, or set NEO_LAKE to another place",
}
_TRANSIENT_CODES = {code for code, hint in _HINTS_BY_CODE.items() if hint == _THROTTLED} | {"RequestTimeout"}
"""Error codes with a status below 500 after which another attempt may succeed."""

_NO_CHECKSUMS = {
    "NotImplemented",
    "InvalidArgument",
    "InvalidRequest",
    "MissingContentLength",
    "BadDigest",
    "400",
    "501",
}
_NO_CHECKSUMS |= {"XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
"""What stores answer that do not know the checksums that the SDK adds to each PUT since 2025."""

_WITHOUT_CHECKSUMS = "; if only writing fails, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"

_NO_CONDITIONS = {400, 501}
"""What stores answer, with any code but those above, that do not know conditional writes."""


class _NoSuchKey(FileNotFoundError):
    """S3 says that an object does not exist. Other missing files are those that credentials come from."""


class _NoETag(Exception):
    """An answer lacks the ETag."""


_NO_ANSWER = (sdk.ConnectionError, sdk.ProxyConnectionError)
_INTERRUPTED = (sdk.HTTPClientError, sdk.IncompleteReadError, IncompleteRead, urllib3.exceptions.HTTPError)
_HINTS_BY_CLASS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (sdk.NoCredentialsError, f"no AWS credentials were found: {_CHOOSE}"),
    ((sdk.CredentialRetrievalError, JSONDecodeError, ResponseParserError), _CREDENTIALS),
    (sdk.PartialCredentialsError, f"the AWS credentials are incomplete: {_CHOOSE}"),
    (sdk.ProfileNotFound, "{error}: set AWS_PROFILE to one of your profiles, or unset it"),
    ((sdk.UnauthorizedSSOTokenError, sdk.SSOTokenLoadError, sdk.TokenRetrievalError), _EXPIRED),
    (sdk.ParamValidationError, _INVALID_NAME),
    (sdk.SSLError, "the certificate of {endpoint} is not trusted: set AWS_CA_BUNDLE to the CA certificate behind it"),
    (sdk.ProxyConnectionError, "{error}: check HTTP_PROXY and HTTPS_PROXY"),
    (_NO_ANSWER, "{endpoint} does not answer: check AWS_ENDPOINT_URL and the network"),
    (_INTERRUPTED, "{endpoint} timed out or closed the connection early: check AWS_ENDPOINT_URL and the network"),
    (sdk.BotoCoreError, "{error}: check the AWS_* settings"),
    (ValueError, "{error}: check AWS_ENDPOINT_URL and the other AWS_* settings"),
    (_NoETag, "{endpoint} gives no ETags, which tell whether a file has changed: set NEO_LAKE to another place"),
    (OSError, _CREDENTIALS),
)


class Bucket:
    """A bucket, or a prefix in one. The S3 client is created at the first request."""

    def __init__(self, root: str, connections: int) -> None:
        """
        Args:
            root: `s3://bucket/prefix`; the prefix is optional.
            connections: size of the connection pool, that is how many threads may use it at a time.
        """
        self._bucket, _, prefix = root.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._connections = connections
        self._lock = threading.Lock()
        self._shared_client: Any = None
        self._shared_shortcut: Shortcut | None = None

    def read(self, path: str) -> pa.Buffer:
        """Read a whole object, with one GET."""
        return self._shortcut.get(self._prefix + path, lambda: self._get(path))

    def open(self, path: str) -> pa.NativeFile:
        """Open an object as a file. It is read into memory whole, with one GET."""
        return pa.BufferReader(self._get(path))

    def read_tail(self, path: str, size: int) -> bytes:
        """Read the end of an object, with one GET."""
        try:
            return bytes(self._get(path, Range=f"bytes=-{size}"))
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # the object is empty, or `size` is 0
                return b""
            raise

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """Write an object with one PUT, which is atomic. Returns its ETag."""
        key, body = self._prefix + path, bytes(data)

        def put() -> str:
            return _etag(self._client.put_object(Bucket=self._bucket, Key=key, Body=body))

        return self._shortcut.put(key, body, put)

    def write_pieces(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write an object from pieces, which are joined in memory first."""
        self.write(path, b"".join(pieces))

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """Write an object unless one exists, with one conditional PUT. Returns whether it was written."""
        object_ = {"Bucket": self._bucket, "Key": self._prefix + path, "Body": bytes(data)}
        try:
            self._client.put_object(**object_, IfNoneMatch="*")
        except sdk.ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            if _status(error) not in _NO_CONDITIONS or code in _HINTS_BY_CODE.keys() - _NO_CHECKSUMS:
                raise
            if self.info(path).type != fs.FileType.NotFound:  # not atomic, but the best these stores allow
                return False
            self._client.put_object(**object_)
        return True

    def sweep(self) -> None:
        """Do nothing: a PUT leaves no partial objects behind."""

    def files(self, directory: str) -> Iterator[fs.FileInfo]:
        """List the objects below a directory, with one GET per thousand."""
        for item in self._list(Prefix=self._prefix + (f"{directory}/" if directory else "")):
            yield self._info(item["Key"].removeprefix(self._prefix), item["LastModified"], item["Size"])

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """The ETags of the objects that exist, with one GET per thousand listed."""
        keys = sorted(self._prefix + path for path in paths)
        prefix = os.path.commonprefix(keys)  # noqa: RUF071  # S3 knows no directories
        wanted, found = set(keys), {}
        for item in self._list(Prefix=prefix, StartAfter=keys[0][:-1]):
            if item["Key"] > keys[-1]:
                break
            if item["Key"] in wanted:
                found[item["Key"].removeprefix(self._prefix)] = _etag(item)
        return found

    def versions(self, paths: Iterable[str]) -> dict[str, str]:
        """The ETags of the objects that exist."""
        return self.digests(paths)

    def info(self, path: str) -> fs.FileInfo:
        """Type, size and modification time of an object, with one HEAD."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + path)
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return fs.FileInfo(path, fs.FileType.NotFound)
            raise
        return self._info(path, head["LastModified"], head["ContentLength"])

    def move(self, path: str, target: str) -> None:
        """Copy an object within S3, then delete the original. A run killed in between leaves both."""
        source = {"Bucket": self._bucket, "Key": self._prefix + path}
        try:
            self._client.copy_object(Bucket=self._bucket, Key=self._prefix + target, CopySource=source)
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise _NoSuchKey(path) from None
            raise
        self.delete(path)

    def delete(self, path: str) -> None:
        """Delete an object, with one DELETE."""
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    def says_missing(self, error: Exception) -> bool:
        """Whether an error means that an object does not exist, by S3's own word."""
        return isinstance(error, _NoSuchKey)

    def explain(self, error: Exception) -> tuple[str, bool] | None:
        """A hint for an error from these methods, and whether a retry may help; None if the error is not from S3."""
        if isinstance(error, sdk.ClientError):
            code = error.response["Error"].get("Code", "")
            hint = _HINTS_BY_CODE.get(code, "{endpoint} refused the request: {error}")
            if error.operation_name.startswith("AssumeRole"):  # not S3 answers, but the service of credentials
                hint = _CREDENTIALS
            elif error.operation_name == "PutObject" and code in _NO_CHECKSUMS and self._adds_checksums():
                hint += _WITHOUT_CHECKSUMS
            transient = code in _TRANSIENT_CODES or (_status(error) >= 500 and _status(error) != 501)
        else:
            hint = next((hint for kinds, hint in _HINTS_BY_CLASS if isinstance(error, kinds)), "")
            transient = isinstance(error, _NO_ANSWER + _INTERRUPTED) and not isinstance(error, sdk.SSLError)
        if not hint:
            return None
        endpoint = self._shared_client.meta.endpoint_url if self._shared_client else "S3"
        if asked := getattr(error, "kwargs", {}).get("endpoint_url"):  # it may be the service of credentials
            endpoint = "{0.scheme}://{0.netloc}".format(urlsplit(asked))
        one_line = textwrap.shorten(str(error), 300, placeholder=" ...")
        return hint.format(bucket=self._bucket, endpoint=endpoint, error=one_line), transient

    def _adds_checksums(self) -> bool:
        return bool(self._client.meta.config.request_checksum_calculation != "when_required")

    def _get(self, path: str, **conditions: str) -> pa.Buffer:
        attempt = 1
        while True:
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path, **conditions)
            except sdk.ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    raise _NoSuchKey(path) from None
                raise
            try:
                return pa.py_buffer(found["Body"].read())
            except _INTERRUPTED:  # the SDK retries requests, but not the reading of a body
                if attempt == _BODY_ATTEMPTS:
                    raise
                attempt += 1

    def _list(self, **range_: str) -> Iterator[Any]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **range_):
            yield from (item for item in page.get("Contents", []) if not item["Key"].endswith("/"))

    @staticmethod
    def _info(path: str, modified: datetime, size: int) -> fs.FileInfo:
        return fs.FileInfo(path, fs.FileType.File, mtime=modified, size=size)

    @property
    def _client(self) -> Any:
        return self._ways()[0]

    @property
    def _shortcut(self) -> Shortcut:
        return self._ways()[1]

    def _ways(self) -> tuple[Any, Shortcut]:
        with self._lock:
            if self._shared_client is None or self._shared_shortcut is None:
                config = Config(
                    connect_timeout=_CONNECT_S, read_timeout=_READ_S, max_pool_connections=self._connections
                )
                core = botocore.session.get_session()
                core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
                self._shared_client = boto3.session.Session(botocore_session=core).client("s3", config=config)
                self._shared_shortcut = Shortcut(core, self._shared_client, self._bucket)
            return self._shared_client, self._shared_shortcut


def _time(value: Any) -> datetime:
    """A time in an answer. The SDK's own parser took half the time of reading a listing."""
    time = None
    with contextlib.suppress(TypeError, ValueError):
        time = datetime.fromisoformat(value)
    return time if time and time.tzinfo else parse_timestamp(value)


def _etag(answer: Any) -> str:
    if "ETag" not in answer:
        raise _NoETag
    return str(answer["ETag"].strip('"'))


def _status(error: sdk.ClientError) -> int:
    """The HTTP status of a refusal; 0 if it is unknown."""
    return int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
