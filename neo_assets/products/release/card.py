"""`README.md`: the release for people, as a dataset card with Hugging Face's metadata in front
(https://huggingface.co/docs/hub/datasets-cards). Its words are in `card.md`.
"""

from importlib import resources
from string import Template
from typing import Any

import yaml

from neo_assets.pipeline.text import quantity
from neo_assets.products.release.about import KEYWORDS, LICENCE, About, tool
from neo_assets.products.release.files import DUCKDB, Data
from neo_assets.products.views import views
from neo_assets.schema.facts import KM_PER_LUNAR_DISTANCE, NEAR_MISS_AU
from neo_assets.schema.tables import CLOSE_APPROACHES

CARD = "README.md"

_SIZES = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
"""Bounds of Hugging Face's categories of size, in rows."""


def card(about: About, data: Data) -> str:
    """The text of `README.md`."""
    front = yaml.safe_dump(_front(about, data), sort_keys=False, allow_unicode=True, width=120)
    text = Template(resources.files(__package__).joinpath("card.md").read_text(encoding="utf-8"))
    return f"---\n{front}---\n\n" + text.substitute(_said(about, data))


def _front(about: About, data: Data) -> dict[str, Any]:
    """The metadata that Hugging Face reads."""
    return {
        "pretty_name": about.title,
        "license": "other",
        "license_name": "simulated-data" if about.is_simulated else "no-licence-stated",
        "license_link": LICENCE,
        "language": ["en"],
        "tags": [*KEYWORDS, *(["simulated"] if about.is_simulated else [])],
        "size_categories": [size_category(sum(file.rows for file in data.files if file.table))],
        "configs": [
            {"config_name": file.table.name, "data_files": [{"split": "train", "path": file.name}]}
            | ({"default": True} if file.table is CLOSE_APPROACHES else {})
            for file in data.files
            if file.table
        ],
    }


def _said(about: About, data: Data) -> dict[str, object]:
    """The words that differ from release to release."""
    one = about.snapshot
    return {
        "title": about.title,
        "description": about.description,
        "id": about.id,
        "oldest": f"{one['oldest_page_at']:%Y-%m-%d %H:%M}",
        "newest": f"{about.at:%Y-%m-%d %H:%M}",
        "newest_date": f"{about.at:%Y-%m-%d}",
        "verdict": one["verdict"],
        "reasons": f" ({one['reasons']})" if one["reasons"] else "",
        "coverage": f"{quantity(one['pages'], 'page')} of {one['pages_in_catalogue']:,} in the catalogue"
        + (": a part of it." if one["pages"] < one["pages_in_catalogue"] else ": all of it."),
        "warning": _warning(about),
        "tool": tool(),
        "views": ", ".join(f"`{name}`" for name in sorted(views())),
        "files": "\n".join(f"| `{file.name}` | {file.rows:,} | {_cell(file.description)} |" for file in data.files),
        "lunar_km": f"{KM_PER_LUNAR_DISTANCE:,}",
        "near_miss": NEAR_MISS_AU,
        "tables": "\n".join(_tables(data)),
        "source": _source(about),
        "citation": about.citation,
    }


def _warning(about: About) -> str:
    said = []
    if about.is_simulated:
        said.append("> **Simulated.** The objects are made up. Do not show them as real.\n")
    if about.despite:
        said.append(
            f"> **Released although {about.despite}.** The catalogue changed while it was gathered, so some objects "
            "may be missing, or be shown as they were before the change.\n"
        )
    return "".join(f"\n{one}" for one in said)


def _tables(data: Data) -> list[str]:
    """Each table with its columns."""
    found = []
    for file in data.files:
        if file.table and file.media_type != DUCKDB:
            rows = [
                f"| `{column.name}` | {column.type} | {_cell(column.unit)} | {_cell(column.text)} |"
                for column in data.meanings(file.table)
            ]
            head = "| column | type | unit | meaning |\n|---|---|---|---|\n"
            found.append(f"## {file.table.name}\n\n{data.describe(file.table)}\n\n{head}" + "\n".join(rows) + "\n")
    return found


def _source(about: About) -> str:
    if about.is_simulated:
        return "The simulator of neo_assets, which makes objects up that look like those of NASA's NeoWs."
    return "\n".join(f"- [{one.title}]({one.url}), {one.by}: {one.part}." for one in about.origins)


def size_category(rows: int) -> str:
    """Hugging Face's category of size for so many rows."""
    below = "n"
    for bound, name in _SIZES:
        if rows < bound:
            return f"n<{name}" if below == "n" else f"{below}<n<{name}"
        below = name
    return f"{below}<n<100M"


def _cell(text: str) -> str:
    """A text in a cell of a table in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")
