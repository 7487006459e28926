"""Output of `neo`: the table of totals, and rows of names and values. Values are computed in `pipeline`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.text import first_few, quantity

if TYPE_CHECKING:
    from neo_assets.pipeline.totals import Totals  # imports pyarrow, which `neo --help` does without


def print_totals(totals: "Totals", as_json: bool = False) -> None:
    """Print the totals as a table, or as one JSON object."""
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(totals)))
    else:
        simulated = "  (made-up objects; set NASA_API_KEYS for NASA's)" if totals.source == "simulator" else ""
        print_rows(
            {
                "Source": totals.source + simulated,
                "Pages": f"{totals.pages:,} in {totals.page_sets:,} of {totals.page_sets_expected:,} page sets"
                f"  (the catalogue has {totals.catalogue_pages:,})",
                "NEOs": f"{totals.neos:,}",
                "Near misses": f"{totals.near_misses:,} to all bodies, {totals.near_misses_earth:,} to Earth"
                "  (closer than 0.2 au)",
                "Approaches": f"{totals.approaches:,} to all bodies, {totals.approaches_earth:,} to Earth",
                "Snapshot": ", ".join([totals.verdict, *totals.reasons]),
                "Years": f"{totals.years}" + (f"  ({totals.first_year} to {totals.last_year})" if totals.years else ""),
                "Files": totals.lake,
                "Dagster's UI": "make dev, or: dg dev",
            }
        )
    if not totals.up_to_date:
        click.echo(
            "These totals are out of date: they cover other page sets, or older data. Run `neo run` to update them.",
            err=True,
        )


def page_sets_failed(failed: Mapping[str, Exception], how: str, then: str = "") -> click.ClickException:
    """The error with which a command ends after page sets failed.

    Args:
        failed: the page sets, with their errors.
        how: what happened to them, such as `failed`.
        then: what else the user should know.
    """
    first = next(iter(failed.values()))
    return click.ClickException(
        f"{quantity(len(failed), 'page set')} {how} ({first_few(list(failed))}); "
        f"the totals omit them or use their older data{then}. First error: {first}"
    )


def print_rows(rows: Mapping[str, str]) -> None:
    """Print a name and its value on each line."""
    for name, value in rows.items():
        click.echo(f"{name:<14}{value}")
