"""The check of the calendar of approaches to come: whether it shows what the tables hold. Making it lives in
`products.calendar`.
"""

from collections.abc import Sequence
from datetime import datetime

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.checks.check import Verdict
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.text import first_few
from neo_assets.products import index
from neo_assets.products.spreadsheet import as_csv
from neo_assets.products.upcoming import EarthApproaches, as_rows


def calendar_shows_the_approaches(lake: Storage, metrics: Metrics, page_sets: Sequence[str]) -> Verdict:
    """The calendar can be read, no two events have the same UID, and those that are not cancelled are the approaches of
    the tables. The CSV file has the same ones.
    """
    from neo_assets.products import calendar  # its library takes 0.07 s to load, only here

    data = EarthApproaches(lake, metrics, page_sets)
    try:
        made = index.read(lake)[calendar.CALENDAR]
        events = calendar.read_events(lake.read(layout.product(calendar.CALENDAR)).to_pybytes())
        rows = lake.read(layout.product(calendar.TABLE)).to_pybytes()
    except (FileNotFoundError, KeyError):
        return False, {"cannot be read": "a file is missing"}
    except ValueError as error:
        return False, {"cannot be read": str(error)}
    window = calendar.Window.at(made.made_at)
    if made.origin != calendar.origin(data, window):
        return True, {"not checked": "page sets have changed since; it is made again after the totals"}
    approaches = [one for one in data.between(window.first, window.end) if window.shows(one)]
    wanted = {_named(one.close_approach_at, one.designation) for one in approaches}
    live = [one for one in events if not calendar.is_cancelled(one) and not calendar.is_unknown(one, data)]
    shown = {_named(calendar.start_of(event), calendar.designation_of(event)) for event in live}
    wrong = {"missing": first_few(sorted(wanted - shown)), "not in the tables": first_few(sorted(shown - wanted))}
    if rows != as_csv(as_rows(approaches, data.source)):
        wrong[calendar.TABLE] = "it has other rows"
    wrong = {name: what for name, what in wrong.items() if what}
    return not wrong, wrong or {"events": len(live), "cancelled": sum(map(calendar.is_cancelled, events))}


def _named(at: datetime, designation: str) -> str:
    return f"{designation} on {at:%Y-%m-%d %H:%M}"
