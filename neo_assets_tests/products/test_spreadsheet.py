"""CSV for people: a spreadsheet that opens it computes nothing of what others wrote."""

import csv
import io

import pyarrow as pa
import pytest

from neo_assets.products.spreadsheet import as_csv


def opened(text: str | None) -> str:
    """The field that a reader gets for a text."""
    rows = pa.table({"name": pa.array([text], pa.string()), "n": [-1.5]})
    header, [name, number] = csv.reader(io.StringIO(as_csv(rows).decode(), newline=""))
    assert (header, number) == (["name", "n"], "-1.5")
    return name


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=1", "-", "-Eros"],
)
def test_a_text_that_begins_like_a_formula_is_shown_as_text(text: str) -> None:
    assert opened(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["433 Eros (A898 PA)", "2010 PK9", "-12.5", "+1", "-1e-5", "'t", "a=b", 'a, "b"\nc', ""]
)
def test_other_texts_and_numbers_are_left_as_they_are(text: str) -> None:
    assert opened(text) == text


def test_null_is_an_empty_field() -> None:
    assert opened(None) == ""
    assert as_csv(pa.table({"name": pa.array([], pa.string())})) == b'"name"\n'
