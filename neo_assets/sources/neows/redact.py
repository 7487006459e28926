"""Removes API keys from stored bodies and from error messages. It neither reads keys from settings nor sends them."""

import re
from collections.abc import Iterable
from urllib.parse import quote

# The spellings of NeoWs and `httpx`. The literal start keeps the search fast in a body of 300 kB.
_NAMED = re.compile(rb"(api_key(?:=|%3D|\\u003d))[^&\"'\s<>\\\\]+")

# Shorter keys are no secret, and replacing them by value would damage other text.
_SHORTEST_SECRET = 8

REDACTED = "REDACTED"


def redact(data: bytes, keys: Iterable[str]) -> bytes:
    """Replace every key in `data`: by value, plain and percent-encoded, and wherever one follows `api_key=`."""
    for key in keys:
        if len(key) < _SHORTEST_SECRET:
            continue
        for form in {key, quote(key, safe="")}:
            data = data.replace(form.encode(), REDACTED.encode())
    return _NAMED.sub(rb"\1" + REDACTED.encode(), data)
