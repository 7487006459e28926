"""The command line of the benchmarks. Nothing is measured here."""

import sys
from collections.abc import Callable
from functools import partial

import pytest

from benchmarks import measure

PARTS = ("imports", "first", "compute", "pace", "s3", "gather")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs the command line; returns the parts that it would measure, in order."""
    done: list[str] = []

    def note(part: str, *_: object) -> None:
        done.append(part)

    for part in PARTS:
        monkeypatch.setattr(measure, part, partial(note, part))

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["measure.py", *arguments])
        measure.main()
        return done

    return run


def test_several_parts_are_measured_in_the_order_given(measured: Callable[..., list[str]]) -> None:
    assert measured("first", "import") == ["first", "imports"]


@pytest.mark.parametrize("arguments", [[], ["all"], ["first", "all"]])
def test_all_parts_are_measured_by_default(measured: Callable[..., list[str]], arguments: list[str]) -> None:
    assert measured(*arguments) == list(PARTS)


def test_an_unknown_part_is_refused(measured: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measured("first", "second")
    assert "invalid choice: 'second'" in capsys.readouterr().err
