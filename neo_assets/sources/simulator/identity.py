"""Who an object of the catalogue is: age group, SPK-ID, name and designations, all computed from its number.

Only identities, each unique over a catalogue of any size. What an object is like stands in `traits`.
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
    """Age group of an object; a catalogue holds them in this order."""

    BRIGHT = 0
    """The first discovered, large, numbered, often named."""
    NUMBERED = 1
    """Numbered, with a well-known orbit."""
    PROVISIONAL = 2
    """Seen for some time, often lost again; SPK-ID 3nnnnnn."""
    LATE = 3
    """Of the last few years, mostly without close approaches as yet; SPK-ID 54nnnnnn."""
    NEWEST = 4
    """Come to the catalogue since it was made."""


NAMED_SHARE = {Era.BRIGHT: 0.63, Era.NUMBERED: 0.01}
"""Share of named objects: nearly two thirds of the brightest, hardly any later one."""

HALF_MONTHS = "ABCDEFGHJKLMNOPQRSTUVWXY"
"""First letter of a provisional designation: the half month of the discovery; I is left out.

Source: https://www.minorplanetcenter.net/iau/info/OldDesDoc.html.
"""
ORDER_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""Second letter: the order within the half month; the subscript counts how often the letters were gone through."""

_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstv" for vowel in "aeiou"]
_FIRST_NUMBER = 433
_NUMBER_STEP, _PROVISIONAL_STEP, _LATE_STEP = 47, 43, 61
_SCATTER = 2503  # a prime, so that the scattering is one to one

_ERA_STARTS = (0.0, 0.02, 0.35, 0.80, 1.0)  # as a share of the catalogue's first size
_DISCOVERY_YEARS = ((1932, 1997), (1990, 2018), (1999, 2020), (2020, 2026), (2026, 2027))
_HALF_MONTHS_A_YEAR = (24, 24, 24, 24, 3)  # the newest are of the first weeks of their year


class Identity(NamedTuple):
    """The fields of a NEO that tell it from every other."""

    id: str
    name: str
    name_limited: str | None
    designation: str


@dataclass(frozen=True)
class Identities:
    """The identities of a catalogue of `neos` objects, and of those that join it later."""

    neos: int
    seed: int

    def era(self, number: int) -> Era:
        """Age group of object `number`."""
        return Era(bisect_right(self._starts, number) - 1)

    def discovered(self, number: int) -> date:
        """First day of the half month in which object `number` was discovered."""
        year, half_month, _ = self._discovery(number)
        return date(year, half_month // 2 + 1, 16 if half_month % 2 else 1)

    def provisional(self, number: int) -> str:
        """The provisional designation, such as "2004 QX7": unique, and kept for life."""
        year, half_month, order = self._discovery(number)
        subscript, letter = divmod(order, len(ORDER_LETTERS))
        return f"{year} {HALF_MONTHS[half_month]}{ORDER_LETTERS[letter]}{subscript or ''}"

    def identity(self, number: int, *, renumbered: bool = False) -> Identity:
        """Identity of object `number`; `renumbered` where a provisional object has been given its number meanwhile."""
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
        """Number of the object that may bear the SPK-ID, or None; compare its identity to be sure."""
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
        """One of the `step` integers that belong to a rank."""
        return step * rank + (31 * rank + self.seed) % step

    def _discovery(self, number: int) -> tuple[int, int, int]:
        """Year, half month (0 = first of January) and order within it; never the same twice.

        Objects of one era go round its half months by an affine map. The order interleaves the eras, which share
        years, and is then scattered, since most discoveries of a half month are no near-Earth objects.
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
    """A fraction of one, evenly spread over the numbers: who is below 0.3 is among thirty per cent of all."""
    return (2_654_435_761 * (number + 1) + 40_503 * seed) % 2**32 / 2**32
