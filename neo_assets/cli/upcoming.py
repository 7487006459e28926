"""`neo upcoming`: print the close approaches to Earth that come next. Finding them lives in `products.upcoming`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from neo_assets.pipeline.text import quantity
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE
from neo_assets.settings import Settings

if TYPE_CHECKING:
    # It imports pyarrow, which `neo --help` does without.
    from neo_assets.products.upcoming import Approach, EarthApproaches

_LONGEST_DAYS = 200 * 365
"""NeoWs lists approaches until 2200."""

_HAZARDOUS = "!"
_HEADER = ("", "Date (UTC)", "Name", "au", "LD", "km/s", "H", "Diameter (m)")
_TO_THE_RIGHT = {"au", "LD", "km/s", "H", "Diameter (m)"}


@click.command()
@click.option(
    "--days", default=60, show_default=True, type=click.IntRange(1, _LONGEST_DAYS), help="How many days to look ahead."
)
@click.option(
    "--within",
    "within_au",
    metavar="AU",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="The largest miss distance, in au. 0.00257 au is the Moon's mean distance.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table, with units in the column names.")
def upcoming(days: int, within_au: float, as_json: bool, as_csv: bool) -> None:
    """Print the approaches to Earth that come next.

    \b
    neo upcoming                            the next 60 days, within 0.05 au
    neo upcoming --within 0.00257           closer than the Moon
    neo upcoming --days 3650 --within 0.2   ten years, and all near misses
    neo upcoming --csv > upcoming.csv       for a spreadsheet

    They come from the tables in the lake: nothing is fetched, and `neo run` refreshes them. All of them are
    predictions of NeoWs, which lists approaches to Earth within 0.2 au, and for orbits determined before December 2024
    within 0.5 au.
    """
    from neo_assets.lake.storage import Storage
    from neo_assets.pipeline.metrics.engine import Metrics
    from neo_assets.products import upcoming as products
    from neo_assets.products.spreadsheet import as_csv as csv_of

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other: give one of them")
    settings = Settings.load()
    data = products.EarthApproaches(Storage(settings.lake), Metrics.of(settings), settings.page_sets)
    now = datetime.now(UTC)
    found = data.between(now, now + timedelta(days=days), within_au)
    rows = products.as_rows(found, data.source)
    if as_csv:
        click.echo(csv_of(rows), nl=False)
    elif as_json:
        oldest, newest = data.fetched
        about = {"source": data.source, "is_simulated": data.is_simulated, "days": days, "within_au": within_au}
        age = {"neos": len(data.sightings), "oldest_page_at": oldest.isoformat(), "newest_page_at": newest.isoformat()}
        click.echo(json.dumps(about | age | {"approaches": rows.to_pylist()}))
    else:
        _print_table(found)
        number = f"{len(found):,} approaches" if len(found) > 1 else f"{'One' if found else 'No'} approach"
        click.echo(
            f"{number} to Earth within {within_au:g} au in the next {quantity(days, 'day')}.\n{_about(data, now)}"
        )
    if not found:
        click.echo(_way_out(data.between(now, now + timedelta(days=_LONGEST_DAYS), within_au), now), err=True)
    if data.page_sets_missing:
        click.echo(
            f"{quantity(data.page_sets_missing, 'page set')} of {len(settings.page_sets):,} not gathered yet, so "
            "approaches are missing: run `neo run`.",
            err=True,
        )


def _print_table(found: Sequence["Approach"]) -> None:
    if not found:
        return
    lines = [
        (
            _HAZARDOUS if one.is_potentially_hazardous else "",
            f"{one.close_approach_at:%Y-%m-%d %H:%M}",
            one.name,
            f"{one.miss_distance_au:.5f}",
            one.lunar_distances,
            f"{one.relative_velocity_km_s:.1f}",
            "" if one.absolute_magnitude_h is None else f"{one.absolute_magnitude_h:.1f}",
            one.diameter_m,
        )
        for one in found
    ]
    widths = [max(map(len, column)) for column in zip(_HEADER, *lines, strict=True)]
    for line in (_HEADER, *lines):
        cells = (
            text.rjust(width) if name in _TO_THE_RIGHT else text.ljust(width)
            for name, text, width in zip(_HEADER, line, widths, strict=True)
        )
        click.echo("  ".join(cells).rstrip())
    click.echo(
        f"\nLD: lunar distances of {KM_PER_LUNAR_DISTANCE:,} km. H: absolute magnitude. "
        "Diameter: the range that H allows."
        + (f"\n{_HAZARDOUS} potentially hazardous." if any(one.is_potentially_hazardous for one in found) else "")
    )


def _about(data: "EarthApproaches", now: datetime) -> str:
    """What the approaches were found in, and how old it is."""
    oldest, _ = data.fetched
    age = now - oldest
    if age.days > 0:
        ago = quantity(age.days, "day")
    else:
        ago = quantity(age.seconds // 3600, "hour") if age >= timedelta(hours=1) else "less than an hour"
    simulated = "\nSimulated: these objects are made up; set NASA_API_KEYS for NASA's." if data.is_simulated else ""
    return (
        f"The lake has {quantity(len(data.sightings), 'NEO')}; their oldest page was fetched {ago} ago, on "
        f"{oldest:%Y-%m-%d %H:%M} UTC.{simulated}"
    )


def _way_out(later: Sequence["Approach"], now: datetime) -> str:
    """What to do if there is no approach in the days asked for."""
    if not later:
        return "None comes later either: look farther from Earth, as with --within 0.2."
    first = later[0].close_approach_at
    return f"The next one comes on {first:%Y-%m-%d}: look further ahead, with --days {(first - now).days + 1}."
