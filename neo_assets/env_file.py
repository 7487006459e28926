"""The `.env` file in the working directory: what it assigns, and where. What it means is decided in `settings`."""

import io
import re
from pathlib import Path
from typing import NamedTuple

from dotenv import dotenv_values
from dotenv.parser import parse_stream

_ASSIGNMENT = re.compile(r"\n\s*(export\s+)?[A-Za-z_]\w*\s*=[^\S\n]*[^\s=]")
"""A line, other than the first, that looks like NAME=value: a quotation mark was left open before it."""


class EnvFileError(ValueError):
    """The file cannot be used; the message says why, and the way out."""


class Assignment(NamedTuple):
    """A line that assigns a value to a variable."""

    name: str
    value: str | None
    """The value; None or empty for none."""
    place: str
    """The file and the line."""


def read_env_file(ours: re.Pattern[str]) -> list[Assignment]:
    """Read `.env`, once, as it may be a pipe. Where a variable is assigned twice, both have the last value.

    Args:
        ours: matches names whose lines must be right; others may be written in a way that only other programs know.

    Returns:
        What it assigns; nothing if there is no such file.

    Raises:
        EnvFileError: it cannot be read, or a line of it cannot be parsed.
    """
    try:
        path = Path(".env").absolute()
    except FileNotFoundError:
        raise EnvFileError("the working directory no longer exists: change to one that does") from None
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise EnvFileError(f"{path} is not UTF-8 ({error}): save it as UTF-8, or delete it") from None
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read ({error.strerror}): make it a readable file, or rename it") from None
    places: list[tuple[str, str]] = []
    for one in parse_stream(io.StringIO(text)):
        statement = one.original.string
        line = one.original.line + statement.removesuffix(statement.lstrip()).count("\n")
        name = one.key or ""
        place = f"{path}, line {line}"
        is_open = "\n" in statement.strip() and (ours.match(name) or _ASSIGNMENT.search(statement.strip()))
        if one.error or "\0" in statement or is_open or (ours.match(name) and one.value is None):
            raise EnvFileError(f"{place}: cannot be read: write NAME=value, close any quotation mark, or delete it")
        if name:
            places.append((name, place))
    values = dotenv_values(stream=io.StringIO(text))
    return [Assignment(name, values[name], place) for name, place in places]
