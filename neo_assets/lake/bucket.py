"""The lake in an S3 bucket: one request for each object read or written, and what S3 says of a failure put into words.

Why boto3, which dagster-aws brings, and not pyarrow's own S3 filesystem (26.0): boto3 finds credentials, region and
endpoint in every way that AWS users know, and renews those of roles during runs of hours; it reads an object with one
request where pyarrow sends two; a missing bucket is an error, where pyarrow lists nothing; an object above 10 MB is one
PUT where pyarrow begins a multipart upload, which a killed run leaves behind; no markers for directories are written.
Nor dagster-aws' own `S3Resource`: its client takes no timeouts, and waits for a silent endpoint for minutes.
"""

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from http.client import IncompleteRead
from typing import Any

import boto3
import pyarrow as pa
import urllib3.exceptions
from botocore import exceptions as sdk
from botocore.config import Config
from pyarrow import fs

# A silent endpoint is told within 35 s: three attempts, as AWS_MAX_ATTEMPTS has it if not set, and the pauses between.
_CONNECT_S = 5
_READ_S = 10
_BODY_ATTEMPTS = 3

_ALLOW = "allow it s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"
_CHOOSE = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_RENEW = "the credentials have expired: renew AWS_SESSION_TOKEN with its key, or log in again (`aws sso login`)"
_ELSEWHERE = "the bucket {bucket} is in another region: set AWS_REGION to its own"
_TOO_MANY = "{endpoint} asks for fewer requests: try again later"
_SAID = {
    "NoSuchBucket": "there is no bucket {bucket} at {endpoint}: create it, or set NEO_LAKE to one that is there",
    "InvalidBucketName": "{bucket} cannot be the name of a bucket: set NEO_LAKE to s3://bucket/prefix",
    "AccessDenied": f"permission denied: {_ALLOW}, or {_CHOOSE} of somebody who may",
    "403": f"permission denied: {_ALLOW}, or {_CHOOSE} of somebody who may",
    "InvalidAccessKeyId": f"the access key is not known at {{endpoint}}: {_CHOOSE}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key: {_CHOOSE}",
    "ExpiredToken": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": "the session token does not belong to the access key: set AWS_SESSION_TOKEN, or unset it",
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than 15 minutes: set it, best by NTP",
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "301": _ELSEWHERE,  # as HEAD has it
    "SlowDown": _TOO_MANY,
    "TooManyRequests": _TOO_MANY,
    "Throttling": _TOO_MANY,
    "ThrottlingException": _TOO_MANY,
    "RequestLimitExceeded": _TOO_MANY,
    "RequestTimeout": "{endpoint} waited too long for this machine: check the network",
    "QuotaExceeded": "the quota of the bucket is used up: raise it, or set NEO_LAKE to another place",
}
_MAY_PASS = {code for code, hint in _SAID.items() if hint == _TOO_MANY} | {"RequestTimeout"}
"""Codes of answers below 500 after which trying again may help."""

_NO_ANSWER = (sdk.ConnectionError, sdk.ProxyConnectionError)
_BROKEN_OFF = (sdk.HTTPClientError, sdk.IncompleteReadError, IncompleteRead, urllib3.exceptions.HTTPError)
_BY_CLASS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (sdk.NoCredentialsError, f"no AWS credentials were found: {_CHOOSE}"),
    (sdk.PartialCredentialsError, f"a part of the AWS credentials is missing: {_CHOOSE}"),
    (sdk.ProfileNotFound, "{error}: set AWS_PROFILE to one of your profiles, or unset it"),
    ((sdk.UnauthorizedSSOTokenError, sdk.SSOTokenLoadError, sdk.TokenRetrievalError), _RENEW),
    (sdk.ParamValidationError, "{bucket} cannot be the name of a bucket: set NEO_LAKE to s3://bucket/prefix"),
    (sdk.SSLError, "the certificate of {endpoint} is not trusted: set AWS_CA_BUNDLE to the one that vouches for it"),
    (_NO_ANSWER, "{endpoint} does not answer: check AWS_ENDPOINT_URL and the network"),
    (_BROKEN_OFF, "{endpoint} does not answer in time, or breaks off: check AWS_ENDPOINT_URL and the network"),
    (sdk.BotoCoreError, "{error}: check the AWS_* settings"),
    (ValueError, "{error}: check AWS_ENDPOINT_URL"),
)


class Bucket:
    """A place `s3://bucket/prefix`; a client is made with the first request."""

    def __init__(self, root: str, at_once: int) -> None:
        """`root`: `s3://bucket/prefix`, the prefix being optional; `at_once`: threads that may use it at once."""
        self._bucket, _, prefix = root.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._at_once = at_once
        self._making = threading.Lock()
        self._made: Any = None

    def read(self, path: str) -> pa.Buffer:
        """An object, whole: one GET."""
        return self._get(path)

    def open(self, path: str) -> pa.NativeFile:
        """An object, which is read whole: one GET."""
        return pa.BufferReader(self._get(path))

    def read_tail(self, path: str, size: int) -> bytes:
        """The end of an object: one GET."""
        try:
            return bytes(self._get(path, Range=f"bytes=-{size}"))
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # of an empty object, or of no bytes
                return b""
            raise

    def write(self, path: str, data: bytes | pa.Buffer) -> str:
        """An object, in place when its one PUT is complete and not before; its ETag."""
        put = self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=bytes(data))
        return str(put["ETag"].strip('"'))

    def write_pieces(self, path: str, pieces: Iterable[bytes]) -> None:
        """The same of one that comes piece by piece, and is put together first."""
        self.write(path, b"".join(pieces))

    def create(self, path: str, data: bytes | pa.Buffer) -> bool:
        """An object where none stands: one PUT, on that condition."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + path, Body=bytes(data), IfNoneMatch="*")
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True

    def sweep(self) -> None:
        """Nothing is ever left behind: an object is one PUT."""

    def files(self, directory: str) -> Iterator[fs.FileInfo]:
        """The objects below a directory: a GET per thousand."""
        for item in self._list(Prefix=self._prefix + (f"{directory}/" if directory else "")):
            yield self._info(item["Key"].removeprefix(self._prefix), item["LastModified"], item["Size"])

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """The ETags of those objects that are there: a GET per thousand."""
        keys = sorted(self._prefix + path for path in paths)
        wanted, found = set(keys), {}
        for item in self._list(Prefix=self._prefix, StartAfter=keys[0][:-1]):
            if item["Key"] > keys[-1]:
                break
            if item["Key"] in wanted:
                found[item["Key"].removeprefix(self._prefix)] = item["ETag"].strip('"')
        return found

    def info(self, path: str) -> fs.FileInfo:
        """What is known of an object: one HEAD."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + path)
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return fs.FileInfo(path, fs.FileType.NotFound)
            raise
        return self._info(path, head["LastModified"], head["ContentLength"])

    def move(self, path: str, target: str) -> None:
        """Copied within S3, then deleted: a run that dies between leaves both."""
        source = {"Bucket": self._bucket, "Key": self._prefix + path}
        try:
            self._client.copy_object(Bucket=self._bucket, Key=self._prefix + target, CopySource=source)
        except sdk.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(path) from None
            raise
        self.delete(path)

    def delete(self, path: str) -> None:
        """One DELETE."""
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)

    def explain(self, error: Exception) -> tuple[str, bool] | None:
        """What an error of these methods means, and whether it may pass by itself; None for one not of S3."""
        if isinstance(error, sdk.ClientError):
            code = error.response["Error"].get("Code", "")
            hint = _SAID.get(code, "{endpoint} refuses: {error}")
            may_pass = code in _MAY_PASS or error.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500
        else:
            hint = next((hint for kinds, hint in _BY_CLASS if isinstance(error, kinds)), "")
            may_pass = isinstance(error, _NO_ANSWER + _BROKEN_OFF) and not isinstance(error, sdk.SSLError)
        if not hint:
            return None
        endpoint = self._made.meta.endpoint_url if self._made else "S3"
        return hint.format(bucket=self._bucket, endpoint=endpoint, error=error), may_pass

    def _get(self, path: str, **conditions: str) -> pa.Buffer:
        attempt = 1
        while True:
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path, **conditions)
            except sdk.ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    raise FileNotFoundError(path) from None
                raise
            try:
                return pa.py_buffer(found["Body"].read())
            except _BROKEN_OFF:  # the SDK sends a request again, but does not look after a body that ends too early
                if attempt == _BODY_ATTEMPTS:
                    raise
                attempt += 1

    def _list(self, **which: str) -> Iterator[Any]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **which):
            yield from (item for item in page.get("Contents", []) if not item["Key"].endswith("/"))

    @staticmethod
    def _info(path: str, modified: datetime, size: int) -> fs.FileInfo:
        # HEAD tells whole seconds; so does this, that both may be compared.
        return fs.FileInfo(path, fs.FileType.File, mtime=modified.replace(microsecond=0), size=size)

    @property
    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                config = Config(connect_timeout=_CONNECT_S, read_timeout=_READ_S, max_pool_connections=self._at_once)
                self._made = boto3.session.Session().client("s3", config=config)
            return self._made
