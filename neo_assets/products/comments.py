"""What comments say of tables, views and columns in databases and query engines, and how SQL writes a text. What
columns mean is defined in `schema`, and in `dictionary` for products.
"""

from neo_assets.schema.pages import SIMULATOR

SIMULATED = "Simulated data: the objects are made up. "
"""How the comments on tables and views begin if they are."""


def mark(source: str | None) -> str:
    """How the comments on tables and views of data from this source begin."""
    return SIMULATED if source == SIMULATOR else ""


def of_column(description: str, unit: str) -> str:
    """The comment on a column: what it means, and its unit if it has one."""
    return f"{description} Unit: {unit}." if unit else description


def literal(text: str) -> str:
    """A text as standard SQL writes it, where an engine takes no parameters."""
    return "'" + text.replace("'", "''") + "'"
