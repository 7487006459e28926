"""A lake to drop files into, and a plain count of their content. No assertions about the landing zone here."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from neo_assets.cli.land import report
from neo_assets.cli.runner import Landing, Runner
from neo_assets.definitions import build_defs
from neo_assets.lake import owner, raw_pages
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.totals import Totals, read_totals
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import Page
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows.examples import NOON, approach, body, neo

KEY = "Key-that-must-not-be-kept-0123456789"

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@dataclass
class Report:
    """The result of `neo land`, and the lines that it printed."""

    landing: Landing
    lines: list[str]

    @property
    def files(self) -> dict[str, str]:
        """The message printed for each file."""
        return dict(line.split(": ", 1) for line in self.lines[: len(self.landing.files)])

    @property
    def set_aside(self) -> list[str]:
        return [file.file for file in self.landing.files if file.is_set_aside]


class Zone:
    """A lake of two page sets, two pages each, and its landing zone."""

    def __init__(self, lake: Storage, home: Path, **settings: Any) -> None:
        values: dict[str, Any] = {"lake": lake.root, "pages": 4, "pages_per_set": 2} | settings
        self.settings = settings_of(**values)
        self.lake = lake
        self.keys = page_set_keys(self.settings.pages, self.settings.pages_per_set)
        self.defs = build_defs(self.settings)
        self.instance = dg.DagsterInstance.ephemeral(str(home))

    def drop(self, name: str, content: bytes) -> Path:
        self.lake.write(path := f"landing/{name}", content)
        return Path(self.lake.location(path))

    def land(self) -> "Report":
        with Runner(self.settings, self.lake, self.instance) as runner:
            landing = runner.land()
        return Report(landing, report(landing, self.settings))

    @property
    def ran(self) -> set[tuple[str, str | None]]:
        """The jobs that ran, with their page sets."""
        return {(run.job_name, run.tags.get("dagster/partition")) for run in self.instance.get_runs()}

    def fetched(self, number: int, *neos: dict[str, Any]) -> None:
        """Store a page as if it was fetched some time ago."""
        content = body(*neos, number=number, total=80)
        lake_source = owner.source_of(self.lake) or "simulator"
        owner.claim(self.lake, lake_source)
        raw_pages.write_page(self.lake, Page(number, content, NOON, lake_source, len(neos), 80))

    def below(self, place: str) -> dict[str, bytes]:
        """Content of the files below a directory, by name; for the archive, names without the day."""
        paths = [info.path for info in self.lake.files(place) if info.extension != "parquet"]
        return {
            "/".join(path.removeprefix(f"{place}/").split("/")[self._days(place) :]): self.lake.read(path).to_pybytes()
            for path in paths
        }

    @staticmethod
    def _days(place: str) -> int:
        return 3 if place == "archive" else 0

    def total(self) -> Totals:
        return read_totals(self.lake, METRICS, self.keys)


def lines(*neos: Any) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in neos)


def neos(first: int, count: int = 20, bodies: Iterable[str] = ("Earth", "Venus")) -> list[dict[str, Any]]:
    """Objects with different approaches, some closer than 0.2 au."""
    return [
        neo(
            str(3_000_000 + one),
            *(approach(au=f"0.{1 + one % 4}", km=str(149597870 * (1 + one % 4) / 10), body=name) for name in bodies),
        )
        for one in range(first, first + count)
    ]


def counted(objects: Iterable[dict[str, Any]]) -> tuple[int, int, int, int]:
    """NEOs, near misses, near misses to Earth, approaches: the last copy of each object, counted one by one."""
    last = {one["id"]: one for one in objects}
    near: Counter[str] = Counter()
    approaches = 0
    for one in last.values():
        for passage in one["close_approach_data"]:
            approaches += 1
            near[passage["orbiting_body"]] += float(passage["miss_distance"]["astronomical"]) < 0.2
    return len(last), sum(near.values()), near["Earth"], approaches


def totals(zone: Zone) -> tuple[int, int, int, int]:
    total = zone.total()
    assert total.up_to_date
    return total.neos, total.near_misses, total.near_misses_earth, total.approaches


def age(path: Path) -> None:
    """Make a file on disk look as if it was written an hour ago."""
    at = path.stat().st_mtime - 3_600
    os.utime(path, (at, at))
