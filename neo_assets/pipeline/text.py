"""Wording that messages share: numbers with nouns, shortened lists, names that are safe to print, single lines. The
messages live where they arise.
"""

from collections.abc import Mapping


def quantity(number: int, thing: str) -> str:
    """A number with its noun, in the plural if needed: `1 page`, `2,100 pages`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def named(thing: str, names: list[int] | list[str]) -> str:
    """The first of some things by name, after their noun: `page 3`, `pages 1, 3`."""
    return f"{thing} {first_few(names)}" if len(names) == 1 else f"{thing}s {first_few(names)}"


def first_few(things: list[int] | list[str], at_most: int = 10) -> str:
    """The first items of a list, with three dots if there are more."""
    return ", ".join(map(str, things[:at_most])) + (", ..." if len(things) > at_most else "")


def pairs(figures: Mapping[str, object]) -> str:
    """Figures with their names: `pages: 3, NEOs: 60`."""
    return ", ".join(f"{name}: {figure}" for name, figure in figures.items())


def one_line(text: str) -> str:
    """A text with each run of white space, such as a line break, as one space."""
    return " ".join(text.split())


def printable(name: str) -> str:
    """A name with its control characters, such as line breaks, as escape sequences."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)
