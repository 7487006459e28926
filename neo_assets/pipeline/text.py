"""How things are said to people. What is said stands where it is known."""


def counted(number: int, thing: str) -> str:
    """So many things: `1 page`, `2,100 pages`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def some(things: list[int] | list[str], most: int = 10) -> str:
    """The first of some things, and three dots if there are more."""
    return ", ".join(map(str, things[:most])) + (", ..." if len(things) > most else "")
