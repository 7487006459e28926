"""Redaction of API keys: by value, percent-encoded, and wherever the API names one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_assets.sources.neows.redact import REDACTED, redact

KEY = b"Zk3fQ9xP0123456789"


def cleaned(text: bytes, *keys: str) -> bytes:
    return redact(text, keys or [KEY.decode()])


def test_a_key_is_redacted_everywhere() -> None:
    assert cleaned(b'{"a":"' + KEY + b'","b":"x' + KEY + b'y"}') == b'{"a":"REDACTED","b":"xREDACTEDy"}'


def test_a_percent_encoded_key_is_redacted() -> None:
    assert cleaned(b"see?key=a%2Bkey%2F1234", "a+key/1234") == b"see?key=REDACTED"


@pytest.mark.parametrize(
    ("link", "clean"),
    [
        (b"http://h/browse?page=1&api_key=Unknown-1&size=20", b"http://h/browse?page=1&api_key=REDACTED&size=20"),
        (b'"self":"http://h/neo/1?api_key=Unknown-1"', b'"self":"http://h/neo/1?api_key=REDACTED"'),
        (b"next=http%3A%2F%2Fh%3Fapi_key%3DUnknown-1 x", b"next=http%3A%2F%2Fh%3Fapi_key%3DREDACTED x"),
        (rb'"http://h?api_key\u003dUnknown-1\u0026page=1"', rb'"http://h?api_key\u003dREDACTED\u0026page=1"'),
        (b"api_key=&page=1", b"api_key=&page=1"),
    ],
)
def test_any_named_key_is_redacted(link: bytes, clean: bytes) -> None:
    assert cleaned(link) == clean


def test_a_short_key_is_not_redacted_in_other_text() -> None:
    assert cleaned(b'{"name":"test","link":"http://h?api_key=test"}', "test") == (
        b'{"name":"test","link":"http://h?api_key=REDACTED"}'
    )


def test_a_body_without_keys_is_unchanged() -> None:
    text = '{"name":"433 Eros (A898 PA)","class":"the Earth’s orbit","unit":"km\\/s"}'.encode()
    assert cleaned(text) == text


@given(parts=st.lists(st.binary(max_size=30)), key=st.from_regex(r"[A-Za-z0-9_-]{12,40}", fullmatch=True))
def test_no_key_survives(parts: list[bytes], key: str) -> None:
    assert key.encode() not in redact(key.encode().join(parts), [key]).replace(REDACTED.encode(), b"")
