"""Faults and drifts of a simulated NeoWs as values, and the parser of their short notation, such as `outage@50-60`.

`faults` applies them to requests.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Self

from neo_assets.sources.simulator.catalogue import Catalogue


class ProfileError(ValueError):
    """A fault or drift cannot be read; the message is one line with the text given and what is allowed."""


@dataclass(frozen=True)
class _Value:
    """The value that a kind takes after `=`."""

    pattern: str
    words: str
    default: str | None = None


FAULTS = {
    "rate-limit": _Value(r"[1-9]\d{0,5}", "a number of seconds for Retry-After", default="60"),
    "forbidden": _Value(
        "API_KEY_(DISABLED|UNAUTHORIZED|UNVERIFIED|INVALID)",
        "API_KEY_DISABLED, API_KEY_UNAUTHORIZED, API_KEY_UNVERIFIED or API_KEY_INVALID",
        default="API_KEY_DISABLED",
    ),
    "not-found": None,
    "error": _Value("500|502|504", "500, 502 or 504", default="500"),
    "outage": None,
    "html": None,
    "empty": None,
    "truncated": None,
    "cut": None,
    "wrong-page": None,
    "garbage-record": None,
    "slow": _Value(r"\d{1,6}(-\d{1,6})?ms", "a time in milliseconds, such as 200ms or 100-300ms"),
    "timeout": None,
    "reset": None,
}
"""The kinds of faults, each with the value it takes, or None."""

DRIFTS = {
    "grow": _Value(r"[1-9]\d{0,5}", "the number of objects to add at the end"),
    "insert": _Value(r"[1-9]\d{0,5}", "the number of objects to add before all others"),
    "reorder": None,
    "number": _Value(r"(\d{1,2}(\.\d+)?|100)%", "the share of the provisional objects to be numbered, such as 5%"),
}
"""The kinds of drifts, each with the value it takes, or None."""

_FAULT_WHEN = re.compile(
    r"(?P<percent>\d{1,2}(\.\d+)?|100)%|(?P<first>[1-9]\d*)-(?P<last>\d+)?"
    r"|page=(?P<page>\d+)(x(?P<times>[1-9]\d*))?|key=(?P<key>[^@]+)",
    re.ASCII,
)
_FAULT_WHEN_WORDS = (
    "5% (of all requests), 50-60 (the 50th to the 60th request), 50- (all from the 50th on), page=7 (every request for "
    "page 7), page=7x2 (the first 2 of them) or key=abc (every request with that key)"
)
_DRIFT_WHEN = re.compile(r"(?P<request>[1-9]\d*)|(?P<seconds>\d+(\.\d+)?)s", re.ASCII)
_DRIFT_WHEN_WORDS = "400 (at the 400th request) or 30s (30 seconds after the first request)"


@dataclass(frozen=True)
class Fault:
    """A fault that strikes some requests: all of them, unless a field restricts it."""

    kind: str
    value: str | None = None
    share: float = 1.0
    """Share of the requests struck, drawn by page and attempt."""
    first: int = 1
    last: int | None = None
    """First and last request struck, by running number from 1."""
    page: int | None = None
    times: int | None = None
    """The only Browse page struck, and how many of the requests for it, from the first on."""
    key: str | None = None
    """The only key struck."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `KIND[=VALUE][@WHEN]`, such as `outage@50-60`.

        Raises:
            ProfileError: the text cannot be read.
        """
        kind, value, when = _split(text, FAULTS)
        if when is None:
            return cls(kind, value)
        match = _FAULT_WHEN.fullmatch(when)
        if match is None:
            raise ProfileError(f"{text}: {when!r} is not a valid WHEN of a fault; give {_FAULT_WHEN_WORDS}")
        given: dict[str, Any] = {name: int(match[name]) for name in ("first", "last", "page", "times") if match[name]}
        if given.get("last", math.inf) < given.get("first", 1):
            raise ProfileError(f"{text}: {when} ends before it begins; give {_FAULT_WHEN_WORDS}")
        if match["percent"]:
            given["share"] = float(match["percent"]) / 100
        return cls(kind, value, key=match["key"], **given)

    def concerns(self, number: int, page: int | None, attempt: int, key: str) -> bool:
        """Whether the fault applies to a request, apart from its share.

        Args:
            number: running number of the request.
            page: the Browse page requested, if any.
            attempt: how many requests for the same resource there have been, including this one.
            key: the API key.
        """
        return (
            self.first <= number
            and (self.last is None or number <= self.last)
            and (self.page is None or self.page == page)
            and (self.times is None or attempt <= self.times)
            and (self.key is None or self.key == key)
        )


@dataclass(frozen=True)
class PlannedDrift:
    """A planned change of the catalogue: at a request, by running number, or some seconds after the first request."""

    kind: str
    value: str | None = None
    request: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `KIND[=VALUE]@WHEN`, such as `grow=30@200`.

        Raises:
            ProfileError: the text cannot be read.
        """
        kind, value, when = _split(text, DRIFTS)
        match = _DRIFT_WHEN.fullmatch(when or "")
        if match is None:
            problem = f"{when!r} is not a valid WHEN of a drift" if when else "a drift needs @WHEN"
            raise ProfileError(f"{text}: {problem}; give {_DRIFT_WHEN_WORDS}")
        if match["request"]:
            return cls(kind, value, request=int(match["request"]))
        return cls(kind, value, seconds=float(match["seconds"]))

    def is_due(self, number: int, elapsed_s: float) -> bool:
        """Whether the drift is due at a request, given its running number and the seconds since the first request."""
        return (self.request is not None and number >= self.request) or (
            self.seconds is not None and elapsed_s >= self.seconds
        )

    def drifted(self, catalogue: Catalogue) -> Catalogue:
        """The catalogue after this drift."""
        value = self.value or ""
        match self.kind:
            case "grow":
                return catalogue.grown(int(value))
            case "insert":
                return catalogue.inserted(int(value))
            case "number":
                return catalogue.numbered(float(value.removesuffix("%")) / 100)
            case _:
                return catalogue.reordered(seed=len(catalogue.drifts))


def _split(text: str, kinds: dict[str, _Value | None]) -> tuple[str, str | None, str | None]:
    """The parts KIND, VALUE and WHEN of `KIND[=VALUE][@WHEN]`."""
    what, at, when = text.partition("@")
    kind, equals, value = what.partition("=")
    if kind not in kinds:
        raise ProfileError(f"{text}: there is no kind {kind!r}; give one of {', '.join(kinds)}")
    takes = kinds[kind]
    if takes is None:
        if equals:
            raise ProfileError(f"{text}: {kind} takes no value; give {kind} alone")
        return kind, None, when if at else None
    if not equals and takes.default is None:
        raise ProfileError(f"{text}: {kind} needs a value; give {kind}=VALUE, where VALUE is {takes.words}")
    if equals and not re.fullmatch(takes.pattern, value, re.ASCII):
        raise ProfileError(f"{text}: {value!r} is not a valid value of {kind}; give {takes.words}")
    return kind, value if equals else takes.default, when if at else None
