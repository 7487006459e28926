"""CSV for people, who open it in a spreadsheet. CSV for programs is written by `neo sql --csv`."""

import io

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

_TAKEN_FOR_A_FORMULA = r"^[=+\-@\t\r\n]"

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def as_csv(rows: pa.Table) -> bytes:
    """Rows as CSV with a header; null as an empty field.

    A spreadsheet computes a text that looks like a formula, and names come from others. So a text that begins like one
    gets a `'` in front, unless it is a number, such as -12.5.
    """
    columns = [_harmless(column) if pa.types.is_string(column.type) else column for column in rows.columns]
    sink = io.BytesIO()
    options = csv.WriteOptions(quoting_style="needed")
    csv.write_csv(pa.table(columns, names=rows.column_names), sink, options)
    return sink.getvalue()


def _harmless(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    risky = pc.and_not(pc.match_substring_regex(texts, _TAKEN_FOR_A_FORMULA), pc.match_substring_regex(texts, _NUMBER))
    return pc.if_else(risky, pc.binary_join_element_wise("'", texts, ""), texts)
