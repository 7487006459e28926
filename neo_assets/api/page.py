"""The page at `/`: which NEOs come next, the yearly chart, how fresh the data are, and where to read on. What it
shows is found here; how it looks and what it says is in `page/`.

It is whole without its script, which adds local times, copying and the news of a newer snapshot.
"""

import base64
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from importlib import resources
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from neo_assets.api.answers import unless_known
from neo_assets.api.bars import Bars, bars
from neo_assets.api.problems import Problem
from neo_assets.api.snapshots import Snapshot, Snapshots
from neo_assets.lake import layout
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.products import calendar, report
from neo_assets.products.figures import Filled, figures

_YEARLY = "by_year"
"""The figure of the report that the page shows, too."""

_SHOWN = 10
"""Approaches that the page shows."""


def _text(name: str) -> str:
    return resources.files("neo_assets.api").joinpath("page", name).read_text(encoding="utf-8").strip()


_STYLE = f"\n{report.part('style.css')}\n{_text('style.css')}\n"
_SCRIPT = f"\n{_text('script.js')}\n"
_TEMPLATE = report.template(_text("page.html"))
_NEXT = _text("next.sql")


def _hashed(text: str) -> str:
    """What a content security policy calls a style or script that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hashed(_STYLE)}; script-src {_hashed(_SCRIPT)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Headers of the page: nothing but its own style and script is applied, whatever a name from NeoWs contains."""


@dataclass(frozen=True)
class _Counted:
    """What stays the same for a snapshot on a day."""

    day: date
    coming: Sequence[Mapping[str, Any]]
    """The approaches to Earth from the beginning of the day on, more than a day has."""
    headline: Sequence[Mapping[str, Any]]
    yearly: Filled
    bars: Bars | None


def page(snapshots: Snapshots, lake: Storage) -> APIRouter:
    """The path of the page."""
    router = APIRouter()
    counted: WeakKeyDictionary[Snapshot, _Counted] = WeakKeyDictionary()
    counting = threading.Lock()

    def counted_once(snapshot: Snapshot, day: date) -> _Counted:
        with counting:
            known = counted.get(snapshot)
            if not known or known.day != day:
                known = counted[snapshot] = _count(snapshot, day)
            return known

    def shown(request: Request, snapshot: Snapshot) -> Response:
        now = datetime.now(UTC).replace(tzinfo=None)  # as the database has its times
        known = counted_once(snapshot, now.date())
        coming = [row for row in known.coming if row["close_approach_at"] >= now][:_SHOWN]
        newest = _time(snapshot.about["newest_page_at"])
        seen = {
            "coming": [{**row, "wait": _wait(row["close_approach_at"] - now)} for row in coming],
            "age": _age(now - newest) if newest else "",
            "made": _made(lake),
        }

        def written(headers: dict[str, str]) -> Response:
            about = {"snapshot": snapshot.about, "newest": newest, "oldest": _time(snapshot.about["oldest_page_at"])}
            counts = {"headline": known.headline, "yearly": known.yearly, "bars": known.bars}
            return _page(HTTPStatus.OK, headers, about | counts | seen)

        return unless_known(request, [snapshot.tag, *seen.values()], written)

    @router.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        """The page."""
        try:
            with snapshots.current() as snapshot:
                return shown(request, snapshot)
        except Problem as problem:
            headers = {"Cache-Control": "no-store"} | dict(problem.headers or {})
            return _page(problem.status, headers, {"snapshot": None, "problem": problem.detail})

    return router


def _page(status: HTTPStatus, headers: Mapping[str, str], shown: Mapping[str, Any]) -> Response:
    html = _TEMPLATE.render(
        shown, style=Markup(_STYLE), script=Markup(_SCRIPT), verdicts=report.VERDICTS, utc=report.utc
    )
    return HTMLResponse(html, status, {**headers, **_HEADERS})


def _count(snapshot: Snapshot, day: date) -> _Counted:
    coming = snapshot.rows(_NEXT, [day]).to_pylist()
    headline = snapshot.rows(report.part("headline.sql")).to_pylist()
    [figure] = (one for one in figures() if one.name == _YEARLY)
    rows = snapshot.rows(figure.sql).to_pylist()
    if not rows:
        return _Counted(day, coming, headline, Filled(figure, [], figure.none), None)
    [finding] = snapshot.rows(figure.finding_sql)[0].to_pylist()
    drawn = bars(rows, _time(snapshot.about["newest_page_at"]))
    return _Counted(day, coming, headline, Filled(figure, rows, finding), drawn)


def _made(lake: Storage) -> list[str]:
    """Those of the files that the page links to which are there."""
    paths = {layout.product(name): name for name in (calendar.CALENDAR, report.PAGE)}
    try:
        return [paths[path] for path in lake.versions(paths)]
    except LakeError:
        return []


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else None


def _wait(left: timedelta) -> str:
    """How long it is until something, in words that stay true for some time."""
    return f"in {words}" if (words := _hours_or_days(left)) else "within the hour"


def _age(past: timedelta) -> str:
    """How long ago something was, in such words, too."""
    return f"{words} ago" if (words := _hours_or_days(past)) else "less than an hour ago"


def _hours_or_days(length: timedelta) -> str:
    """Whole hours up to two days, then whole days; nothing for less than an hour."""
    hours = int(length.total_seconds() // 3600)
    number, unit = (hours, "hour") if hours < 48 else (hours // 24, "day")
    return f"{number:,} {unit}{'s' if number > 1 else ''}" if hours > 0 else ""
