"""The catalogue: which object is on which page, and how insertions, re-ordering and numbering change it over time.

A catalogue is a value: everything follows from its fields, identically in every process. `identity` and `traits`
define the objects; `wire` writes them as JSON.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd
from random import Random
from typing import Any

from neo_assets.sources.simulator.identity import Era, Identities, Identity
from neo_assets.sources.simulator.traits import draw_traits
from neo_assets.sources.simulator.wire import API_KEY, BASE_URL, write_neo

DEFAULT_NEOS = 41_839
"""Number of objects; about that of the real catalogue in 2026."""
DEFAULT_SEED = 7
_DEFAULT_CLOSE_APPROACHES = 861_923
"""Close approaches in the default catalogue; stored, as counting them would take two seconds in each `neo run`."""
PAGE_SIZE = 20
"""Objects on a full page: the API's default, and its maximum."""


@dataclass(frozen=True)
class Appended:
    """New objects were added at the end."""

    count: int


@dataclass(frozen=True)
class Inserted:
    """New objects were added before all others."""

    count: int


@dataclass(frozen=True)
class Reordered:
    """All positions were permuted by an affine map modulo the size."""

    factor: int
    offset: int


@dataclass(frozen=True)
class Numbered:
    """Provisional objects were numbered: a share of them, drawn with the salt, and the listed ones."""

    share: float
    salt: int
    numbers: frozenset[int]


Drift = Appended | Inserted | Reordered | Numbered


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that started with `neos` objects and has changed by the `drifts`, oldest first.

    Objects are numbered from 0 in the order in which they joined the catalogue. An object's data follow only from its
    number, the seed and `neos`, so a page costs the same in a catalogue of any size. A small catalogue is a
    cross-section of a large one, from the oldest to the newest objects, not its first pages.
    """

    neos: int = DEFAULT_NEOS
    seed: int = DEFAULT_SEED
    drifts: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an impossible size."""
        if self.neos < 1:
            raise ValueError(f"a catalogue must have at least one object, not {self.neos}")

    @cached_property
    def near_earth_object_count(self) -> int:
        """Number of objects in the catalogue now."""
        return self.neos + sum(drift.count for drift in self.drifts if isinstance(drift, Appended | Inserted))

    @cached_property
    def close_approach_count(self) -> int:
        """Close approaches of all objects: 50 µs per object to count, but known for the default catalogue."""
        numbers = range(self.near_earth_object_count)
        if (self.neos, self.seed, len(numbers)) == (DEFAULT_NEOS, DEFAULT_SEED, DEFAULT_NEOS):
            return _DEFAULT_CLOSE_APPROACHES
        return sum(sum(draw_traits(self._identities, number).approaches.values()) for number in numbers)

    def grown(self, count: int) -> "Catalogue":
        """The catalogue with `count` new objects at the end."""
        return self._drifted(Appended(_positive(count)))

    def inserted(self, count: int) -> "Catalogue":
        """The catalogue with `count` new objects before all others, which shift by that many positions."""
        return self._drifted(Inserted(_positive(count)))

    def reordered(self, seed: int) -> "Catalogue":
        """The catalogue with the same objects in another order."""
        size = self.near_earth_object_count
        rng = Random(f"{self.seed}/order/{seed}")
        factor = rng.randrange(size)
        while gcd(factor, size) != 1:
            factor = (factor + 1) % size
        return self._drifted(Reordered(factor, rng.randrange(size)))

    def numbered(self, share: float = 0.0, *, ids: Iterable[str] = ()) -> "Catalogue":
        """The catalogue after a share of the provisional objects, and those with the given ids, have been numbered.

        Their id, designation and name change; their position and other data do not.

        Raises:
            KeyError: an id is not in the catalogue.
        """
        numbers = frozenset(self._number_of(spk_id) for spk_id in ids)
        return self._drifted(Numbered(share, len(self.drifts), numbers))

    def neo(self, position: int) -> dict[str, Any]:
        """The NEO at a position, from 0.

        Raises:
            IndexError: the position is beyond the end.
        """
        if not 0 <= position < self.near_earth_object_count:
            raise IndexError(f"position {position} of {self.near_earth_object_count}")
        return self._neo(self._number_at(position))

    def identity(self, position: int) -> Identity:
        """The identity of the NEO at a position, without computing the rest."""
        return self._identity(self._number_at(position))

    def neo_by_id(self, spk_id: str) -> dict[str, Any]:
        """The NEO that has this SPK-ID now.

        Raises:
            KeyError: there is none.
        """
        return self._neo(self._number_of(spk_id))

    def page(self, number: int, size: int = PAGE_SIZE) -> dict[str, Any]:
        """Page `number`, from 0, of the Browse API; empty beyond the end."""
        total = self.near_earth_object_count
        pages = -(-total // size)
        links = {"next": number + 1, "prev": number - 1, "self": number}
        if number + 1 >= pages:
            del links["next"]
        if number == 0:
            del links["prev"]
        return {
            "links": {
                rel: f"{BASE_URL}/neo/browse?page={page}&size={size}&api_key={API_KEY}" for rel, page in links.items()
            },
            "page": {"size": size, "total_elements": total, "total_pages": pages, "number": number},
            "near_earth_objects": [
                self.neo(position) for position in range(number * size, min((number + 1) * size, total))
            ],
        }

    @cached_property
    def _identities(self) -> Identities:
        return Identities(self.neos, self.seed)

    def _drifted(self, drift: Drift) -> "Catalogue":
        return replace(self, drifts=(*self.drifts, drift))

    def _number_at(self, position: int) -> int:
        """The number of the object at a position, found by undoing the drifts, newest first."""
        size = self.near_earth_object_count
        for drift in reversed(self.drifts):
            match drift:
                case Appended(count):
                    size -= count
                    if position >= size:
                        return position
                case Inserted(count):
                    size -= count
                    if position < count:
                        return size + position
                    position -= count
                case Reordered(factor, offset):
                    position = (position * factor + offset) % size
        return position

    def _identity(self, number: int) -> Identity:
        return self._identities.identity(number, renumbered=self._renumbered(number))

    def _renumbered(self, number: int) -> bool:
        if self._identities.era(number) <= Era.NUMBERED:
            return False
        size = self.neos
        for drift in self.drifts:
            match drift:
                case Appended(count) | Inserted(count):
                    size += count
                case Numbered(share, salt, numbers) if number < size and (
                    number in numbers or Random(f"{self.seed}/numbered/{salt}/{number}").random() < share
                ):
                    return True
        return False

    def _neo(self, number: int) -> dict[str, Any]:
        rng = Random(f"{self.seed}/{number}/wire")
        return write_neo(self._identity(number), draw_traits(self._identities, number), rng)

    def _number_of(self, spk_id: str) -> int:
        number = self._identities.number_of(spk_id)
        if number is None or not 0 <= number < self.near_earth_object_count or self._identity(number).id != spk_id:
            raise KeyError(spk_id)
        return number


def to_json(document: dict[str, Any]) -> bytes:
    """A document as the API sends it: one compact line of UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _positive(count: int) -> int:
    if count < 1:
        raise ValueError(f"a catalogue must grow by at least one object, not {count}")
    return count
