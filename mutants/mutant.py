"""A mutant: a file with one small change. Making them is the job of `python` and `sql`, trying them that of `trial`."""

import difflib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A file of the package, changed in one place."""

    path: Path
    """The file, relative to the checkout."""
    source: str
    """Its text without the change."""
    mutated: str
    """Its text with the change."""
    line: int
    """Number of the line that is changed."""
    within: tuple[int, int] | None
    """First and last line of the innermost function that is changed; None if the change is outside of functions."""

    @property
    def change(self) -> str:
        """What differs, on one line, for people: the text before and after."""
        old, new = self.source.splitlines(), self.mutated.splitlines()
        before, after = [], []
        for tag, start, end, new_start, new_end in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
            if tag != "equal":
                before += old[start:end]
                after += new[new_start:new_end]
        return f"{_one_line(before)}  ->  {_one_line(after)}"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.change}"


def _one_line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
