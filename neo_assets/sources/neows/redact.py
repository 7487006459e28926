"""API keys taken out of what is kept or said: bodies, errors. Where keys come from and how they are sent is not known
here.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

# Spelled as NeoWs and `httpx` write it; a literal start keeps the search over a body of 300 kB quick.
_NAMED = re.compile(rb"(api_key(?:=|%3D|\\u003d))[^&\"'\s<>\\\\]+")

# A shorter one is no secret, and taking it out by value would tear up the text around it.
_SHORTEST_SECRET = 8

REDACTED = "REDACTED"


def redact(data: bytes, keys: Iterable[str]) -> bytes:
    """`data` with every key replaced, by value (as it is and percent-encoded) and wherever one follows `api_key=`."""
    for key in keys:
        if len(key) < _SHORTEST_SECRET:
            continue
        for form in {key, quote(key, safe="")}:
            data = data.replace(form.encode(), REDACTED.encode())
    return _NAMED.sub(rb"\1" + REDACTED.encode(), data)
