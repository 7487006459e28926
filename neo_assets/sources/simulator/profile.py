"""What goes wrong with a simulated NeoWs, and when: faults and drifts as values, and the short text they are given as.

How a fault is done to an answer stands in `faults`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Self

from neo_assets.sources.simulator.catalogue import Catalogue


class ProfileError(ValueError):
    """A fault or drift cannot be read; the message is one line that says what was given and what is allowed."""


@dataclass(frozen=True)
class _Value:
    """What may stand behind a kind's `=`."""

    pattern: str
    words: str
    default: str | None = None


FAULTS = {
    "rate-limit": _Value(r"[1-9]\d{0,5}", "seconds for Retry-After", default="60"),
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
    "slow": _Value(r"\d{1,6}(-\d{1,6})?ms", "milliseconds, such as 200ms or 100-300ms"),
    "timeout": None,
    "reset": None,
}
"""The kinds of faults, each with the value it takes, None for none."""

DRIFTS = {
    "grow": _Value(r"[1-9]\d{0,5}", "how many objects come to the end"),
    "insert": _Value(r"[1-9]\d{0,5}", "how many objects come before all others"),
    "reorder": None,
    "number": _Value(r"(\d{1,2}(\.\d+)?|100)%", "the share of the provisional objects that are numbered, such as 5%"),
}
"""The kinds of drifts, likewise."""

_FAULT_WHEN = re.compile(
    r"(?P<percent>\d{1,2}(\.\d+)?|100)%|(?P<first>[1-9]\d*)-(?P<last>\d+)?"
    r"|page=(?P<page>\d+)(x(?P<times>[1-9]\d*))?|key=(?P<key>[^@]+)",
    re.ASCII,
)
_FAULT_WHEN_WORDS = (
    "5% (of all requests), 50-60 (requests by running number; 50- for all from there on), page=7 (whenever it is asked "
    "for), page=7x2 (the first 2 times) or key=abc (whatever that key asks for)"
)
_DRIFT_WHEN = re.compile(r"(?P<request>[1-9]\d*)|(?P<seconds>\d+(\.\d+)?)s", re.ASCII)
_DRIFT_WHEN_WORDS = "400 (with the 400th request) or 30s (30 seconds after the first request)"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with some requests: all, unless a field says otherwise."""

    kind: str
    value: str | None = None
    share: float = 1.0
    """The share of the requests, drawn by page and attempt."""
    first: int = 1
    last: int | None = None
    """The requests from and to this running number, from 1."""
    page: int | None = None
    times: int | None = None
    """The requests for this page, and only so many of them, the first."""
    key: str | None = None
    """The requests with this key."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND[=VALUE][@WHEN]`, such as `outage@50-60`. ProfileError where it cannot be read."""
        kind, value, when = _split(text, FAULTS)
        if when is None:
            return cls(kind, value)
        match = _FAULT_WHEN.fullmatch(when)
        if match is None:
            raise ProfileError(f"{text}: there is no {when!r} for the time of a fault; give {_FAULT_WHEN_WORDS}")
        given: dict[str, Any] = {name: int(match[name]) for name in ("first", "last", "page", "times") if match[name]}
        if given.get("last", math.inf) < given.get("first", 1):
            raise ProfileError(f"{text}: {when} ends before it begins; give {_FAULT_WHEN_WORDS}")
        if match["percent"]:
            given["share"] = float(match["percent"]) / 100
        return cls(kind, value, key=match["key"], **given)

    def concerns(self, number: int, page: int | None, attempt: int, key: str) -> bool:
        """Whether a request is one of those that may be struck, the share left aside.

        Args:
            number: running number of the request.
            page: the Browse page it asks for, if it does.
            attempt: how often the same has been asked for, this time included.
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
    """A change of the catalogue: with the request of a running number, or some seconds after the first one."""

    kind: str
    value: str | None = None
    request: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND[=VALUE]@WHEN`, such as `grow=30@200`. ProfileError where it cannot be read."""
        kind, value, when = _split(text, DRIFTS)
        match = _DRIFT_WHEN.fullmatch(when or "")
        if match is None:
            said = f"there is no {when!r} for the time of a drift" if when else "a drift has its time behind @"
            raise ProfileError(f"{text}: {said}; give {_DRIFT_WHEN_WORDS}")
        if match["request"]:
            return cls(kind, value, request=int(match["request"]))
        return cls(kind, value, seconds=float(match["seconds"]))

    def is_due(self, number: int, elapsed_s: float) -> bool:
        """Whether it has come about by the request of that running number, so long after the first one."""
        return (self.request is not None and number >= self.request) or (
            self.seconds is not None and elapsed_s >= self.seconds
        )

    def drifted(self, catalogue: Catalogue) -> Catalogue:
        """The catalogue after it."""
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
    """Kind, value and time of `KIND[=VALUE][@WHEN]`."""
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
        raise ProfileError(f"{text}: {kind} needs a value; give {kind}=VALUE, {takes.words}")
    if equals and not re.fullmatch(takes.pattern, value, re.ASCII):
        raise ProfileError(f"{text}: {value!r} is no value of {kind}; give {takes.words}")
    return kind, value if equals else takes.default, when if at else None
