"""An object's identity: age group, SPK-ID, name and designations, all computed from its number.

Identities are unique in a catalogue of any size. `traits` defines the objects' physical data.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import cached_property
from math import ceil
from typing import NamedTuple


class Era(IntEnum):
    """Age group of an object; the catalogue is ordered by it."""

    BRIGHT = 0
    """Discovered first: large, numbered, often named."""
    NUMBERED = 1
    """Numbered, with a well-known orbit."""
    PROVISIONAL = 2
    """Observed for some time, often lost again; SPK-ID 3nnnnnn."""
    LATE = 3
    """Discovered in recent years, mostly without close approaches yet; SPK-ID 54nnnnnn."""
    NEWEST = 4
    """Added after the catalogue was created."""


NAMED_SHARE = {Era.BRIGHT: 0.63, Era.NUMBERED: 0.01}
"""Share of named objects: nearly two thirds of the brightest, hardly any others."""

HALF_MONTHS = "ABCDEFGHJKLMNOPQRSTUVWXY"
"""First letters of provisional designations: the half month of the discovery; I is not used.

Source: https://www.minorplanetcenter.net/iau/info/OldDesDoc.html.
"""
ORDER_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Second letters: the order within the half month. The subscript counts the completed cycles through the letters."""

_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstv" for vowel in "aeiou"]
_FIRST_NUMBER = 433
_NUMBER_STEP, _PROVISIONAL_STEP, _LATE_STEP = 47, 43, 61
_SCATTER = 2503  # a prime, so that the scattering is one-to-one

_ERA_STARTS = (0.0, 0.02, 0.35, 0.80, 1.0)  # as shares of the catalogue's initial size
_DISCOVERY_YEARS = ((1932, 1997), (1990, 2018), (1999, 2020), (2020, 2026), (2026, 2027))
_HALF_MONTHS_A_YEAR = (24, 24, 24, 24, 3)  # the newest are from the first weeks of their year


class Identity(NamedTuple):
    """The fields that identify a NEO."""

    id: str
    name: str
    name_limited: str | None
    designation: str


@dataclass(frozen=True)
class Identities:
    """The identities in a catalogue of initially `neos` objects, including those added later."""

    neos: int
    seed: int

    def era(self, number: int) -> Era:
        """The age group of object `number`."""
        return Era(bisect_right(self._starts, number) - 1)

    def discovered(self, number: int) -> date:
        """The first day of the half month in which object `number` was discovered."""
        year, half_month, _ = self._discovery(number)
        return date(year, half_month // 2 + 1, 16 if half_month % 2 else 1)

    def provisional(self, number: int) -> str:
        """The provisional designation of object `number`, such as "2004 QX7"; it is unique and never changes."""
        year, half_month, order = self._discovery(number)
        subscript, letter = divmod(order, len(ORDER_LETTERS))
        return f"{year} {HALF_MONTHS[half_month]}{ORDER_LETTERS[letter]}{subscript or ''}"

    def identity(self, number: int, *, renumbered: bool = False) -> Identity:
        """The identity of object `number`; `renumbered` if a provisional object has been numbered since."""
        provisional = self.provisional(number)
        era = self.era(number)
        if era <= Era.NUMBERED or renumbered:
            asteroid = self._asteroid_number(number)
            limited = self._invented_name(number) if _share(number, self.seed) < NAMED_SHARE.get(era, 0.0) else None
            name = f"{asteroid} {limited} ({provisional})" if limited else f"{asteroid} ({provisional})"
            return Identity(f"2{asteroid:06d}", name, limited, str(asteroid))
        if era == Era.PROVISIONAL:
            spk_id = f"3{100_000 + self._spaced(number - self._starts[Era.PROVISIONAL], _PROVISIONAL_STEP):06d}"
        else:
            spk_id = f"54{self._spaced(number - self._starts[Era.LATE], _LATE_STEP):06d}"
        return Identity(spk_id, f"({provisional})", None, provisional)

    def number_of(self, spk_id: str) -> int | None:
        """The number of the only object that can have this SPK-ID, or None; compare its identity to be sure."""
        match = re.fullmatch(r"(2|3|54)([0-9]{6,18})", spk_id)
        if match is None:
            return None
        serial = int(match[2])
        match match[1]:
            case "2" if serial >= self._first_new_number:
                return serial - self._first_new_number
            case "2":
                return (serial - _FIRST_NUMBER) // _NUMBER_STEP
            case "3":
                return self._starts[Era.PROVISIONAL] + (serial - 100_000) // _PROVISIONAL_STEP
            case _:
                return self._starts[Era.LATE] + serial // _LATE_STEP

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(ceil(share * self.neos) for share in _ERA_STARTS)

    @property
    def _first_new_number(self) -> int:
        return _FIRST_NUMBER + _NUMBER_STEP * self._starts[Era.PROVISIONAL]

    def _asteroid_number(self, number: int) -> int:
        if self.era(number) <= Era.NUMBERED:
            return _FIRST_NUMBER + self._spaced(number, _NUMBER_STEP)
        return self._first_new_number + number

    def _spaced(self, rank: int, step: int) -> int:
        """One of the `step` integers reserved for a rank."""
        return step * rank + (31 * rank + self.seed) % step

    def _discovery(self, number: int) -> tuple[int, int, int]:
        """Year, half month (0 is the first of January) and order within it, unique for each object.

        An affine map distributes the objects of an era over its half months. The order interleaves the eras, as they
        share years, and is then scattered, as most discoveries in a half month are not near-Earth objects.
        """
        era = self.era(number)
        first_year, end_year = _DISCOVERY_YEARS[era]
        halves = _HALF_MONTHS_A_YEAR[era]
        slots = (end_year - first_year) * halves
        turn, place = divmod(number - self._starts[era], slots)
        year, half_month = divmod((5003 * place + self.seed) % slots, halves)
        block, order = divmod(turn * len(Era) + era, _SCATTER)
        slot = (first_year + year) * 24 + half_month
        return first_year + year, half_month, block * _SCATTER + (1009 * order + 613 * slot) % _SCATTER

    @staticmethod
    def _invented_name(number: int) -> str:
        names = len(_SYLLABLES) ** 3
        rest = (100_003 * number + 54_321) % names + names * (number // names)
        syllables: list[str] = []
        while rest or len(syllables) < 3:
            rest, syllable = divmod(rest, len(_SYLLABLES))
            syllables.append(_SYLLABLES[syllable])
        return "".join(syllables).capitalize()


def _share(number: int, seed: int) -> float:
    """A fraction from 0 to 1, evenly distributed over the numbers: 30% of all objects are below 0.3."""
    return (2_654_435_761 * (number + 1) + 40_503 * seed) % 2**32 / 2**32
