"""The report: `report.html`, the catalogue on one page that needs no network, and `report.csv`, every NEO with its
closest approach. Both are made from the database, by SQL that the page shows.

What the figures are is decided in `figures`, how they are drawn in `drawing`. The page around them is
`report/page.html`; other pages look like it by its `style.css`.
"""

from collections.abc import Mapping
from datetime import date, datetime
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import duckdb
import jinja2
import pyarrow as pa
from markupsafe import Markup  # part of Jinja

from neo_assets.lake.storage import LakeLacks, Storage
from neo_assets.lake.tables import digest
from neo_assets.products import database, index
from neo_assets.products.drawing import svg
from neo_assets.products.figures import figures, filled
from neo_assets.products.spreadsheet import as_csv
from neo_assets.schema.facts import KM_PER_AU

PAGE, TABLE = "report.html", "report.csv"
"""The files, by their names among the products."""

_TEMPLATES = ("page.html", "banner.html", "verdict.html")
"""The page, and what it shares with the page of the API."""

VERDICTS = {
    "consistent": "All its pages are of one state of the catalogue, and none is missing.",
    "drifted": "The catalogue changed while it was gathered, so figures may be off by a few objects:",
    "incomplete": "Data are missing, so all figures are too small:",
}
"""What the verdict on a snapshot means."""


def to_make(lake: Storage, day: date) -> list[str]:
    """Those of the two files that are missing, damaged, or made from something else than the stored database; by name.

    Args:
        lake: the lake.
        day: today's date (UTC), on which it depends which approaches come next.

    Raises:
        LakeLacks: there is no database.
    """
    from_ = origins(lake, day)
    made = _current(lake, from_)
    return [name for name in from_ if name not in made]


def make(lake: Storage, day: date) -> dict[str, index.Made]:
    """Make those of the two files that are not up to date, from the stored database.

    The same database and day give the same bytes.

    Returns:
        Both, by name: the page with its number of charts, the table with its number of rows.

    Raises:
        LakeLacks: there is no database.
        LakeError: the lake cannot be read or written.
    """
    made = _current(lake, origins(lake, day))
    if len(made) < len((PAGE, TABLE)):
        # Before it is opened: one that replaces it then counts as not shown yet.
        of_database = _origin_of_database(lake)
        pa.default_memory_pool().release_unused()  # of what made the database, to make room for DuckDB and the charts
        with database.opened(lake) as connection:
            connection.execute("SET threads = 1")  # each takes memory of its own
            connection.execute("BEGIN")  # today's date stays the same in a transaction
            [(today,)] = connection.execute("SELECT CURRENT_DATE").fetchall()
            from_ = _origins(of_database, today)
            if TABLE not in made:
                rows = connection.sql(part("neos.sql")).to_arrow_table()
                made[TABLE] = index.store(lake, TABLE, as_csv(rows), from_[TABLE], rows.num_rows)
            if PAGE not in made:
                page, charts = _page(connection)
                made[PAGE] = index.store(lake, PAGE, page.encode(), from_[PAGE], charts)
    return {name: made[name] for name in (PAGE, TABLE)}


def origins(lake: Storage, day: date) -> Mapping[str, str]:
    """A digest of what each of the two files is made from on a day.

    Raises:
        LakeLacks: there is no database.
    """
    return _origins(_origin_of_database(lake), day)


def _origin_of_database(lake: Storage) -> str:
    made = index.read(lake).get(database.DATABASE)
    if not made:
        raise LakeLacks(f"the lake {lake.root} has no database yet: run `neo report`, or materialize neo_database")
    return made.origin


def _origins(of_database: str, day: date) -> Mapping[str, str]:
    texts = (figure.file for figure in figures())
    parts = map(part, (*_TEMPLATES, "style.css", "snapshot.sql", "headline.sql"))
    return {
        PAGE: digest([of_database, f"{day}", *texts, *parts]),
        TABLE: digest([of_database, part("neos.sql")]),
    }


def _current(lake: Storage, from_: Mapping[str, str]) -> dict[str, index.Made]:
    """Those of the two files that are up to date, by name."""
    return {name: made for name, origin in from_.items() if (made := index.current(lake, name, origin))}


def facts(page: str) -> Mapping[str, str]:
    """What a page says of itself: its `snapshot`, `verdict` and `source`, as far as it does, and how many `charts` it
    has.
    """
    parser = _Facts()
    parser.feed(page)
    return parser.found | {"charts": str(parser.charts)}


class _Facts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found, self.charts = dict[str, str](), 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        said = dict(attrs)
        if tag == "meta" and said.get("name") in ("snapshot", "verdict", "source"):
            self.found[str(said["name"])] = said.get("content") or ""
        self.charts += tag == "svg" and bool(said.get("aria-label"))


def _page(connection: duckdb.DuckDBPyConnection) -> tuple[str, int]:
    """The page, and the number of its charts."""
    [snapshot] = _rows(connection, "snapshot.sql")
    found = [filled(connection, figure) for figure in figures()]
    drawings = {one.figure.name: Markup(svg(one)) for one in found if one.rows}
    page = template(part("page.html")).render(
        snapshot=snapshot,
        snapshot_sql=part("snapshot.sql"),
        headline=_rows(connection, "headline.sql"),
        headline_sql=part("headline.sql"),
        verdicts=VERDICTS,
        figures=found,
        drawings=drawings,
        style=Markup(part("style.css")),
        utc=utc,
        km_per_au=KM_PER_AU,
    )
    return page, len(drawings)


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(part(name)).to_arrow_table().to_pylist()
    return rows


def utc(time: datetime) -> str:
    """A time as people read it."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def template(text: str) -> jinja2.Template:
    """The template of a page, which escapes what is filled in. It may include what pages share."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(part),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).from_string(text)


def part(name: str) -> str:
    """A file beside the figures."""
    return resources.files("neo_assets.products").joinpath("report", name).read_text(encoding="utf-8").strip()
