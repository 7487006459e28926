"""Serves pages to whatever is measured, from a process of its own: the simulator's, or captured objects on pages.

    python server.py --pages N [--neos N | --objects DIRECTORY] [--fault FAULT]

All pages are rendered before the server listens. Its first line of output is a JSON object: `url`, what is served, and
`truth`, the totals over the pages, counted from the objects as they are rendered. `GET /requests` answers with the
number of requests so far, by key. Starting it, and measuring, belong elsewhere.
"""

import argparse
import asyncio
import gzip
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from neo_assets.sources.simulator.app import create_app, serve
from neo_assets.sources.simulator.catalogue import DEFAULT_NEOS, PAGE_SIZE, Catalogue
from neo_assets.sources.simulator.profile import Fault

NEAR_MISS_AU = 0.2


@dataclass
class Truth:
    """The totals over some pages, by the plainest means."""

    near_misses: Counter[str] = field(default_factory=Counter)
    approaches: Counter[str] = field(default_factory=Counter)

    def add(self, page: dict[str, Any]) -> None:
        """Count the approaches of one page: near misses by orbiting body, and all approaches by year."""
        for neo in page["near_earth_objects"]:
            for approach in neo["close_approach_data"]:
                if float(approach["miss_distance"]["astronomical"]) < NEAR_MISS_AU:
                    self.near_misses[approach["orbiting_body"]] += 1
                self.approaches[approach["close_approach_date"][:4]] += 1


@dataclass(frozen=True)
class Counted(Catalogue):
    """A catalogue that counts the pages that it renders."""

    truth: Truth = field(default_factory=Truth, compare=False)

    def page(self, number: int, size: int = PAGE_SIZE) -> dict[str, Any]:
        """Page `number`, from 0."""
        page = super().page(number, size)
        self.truth.add(page)
        return page


@dataclass(frozen=True)
class Captured(Counted):
    """Captured objects in a fixed random order, repeated under other ids and names as often as needed."""

    objects: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def close_approach_count(self) -> int:
        """Close approaches of all objects, once all pages have been rendered."""
        return self.truth.approaches.total()

    def neo(self, position: int) -> dict[str, Any]:
        """The object at a position."""
        copy, row = divmod(position, len(self.objects))
        neo: dict[str, Any] = json.loads(self.objects[row])
        if copy:
            neo |= dict.fromkeys(("id", "neo_reference_id", "designation", "name"), f"{copy:03d}{neo['id']}")
        return neo


def captured(directory: Path, neos: int) -> Captured:
    """The objects in the `.ndjson.gz` files of a directory, one a line.

    Raises:
        ValueError: there are none.
    """
    objects = [
        line
        for path in sorted(directory.glob("*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    if not objects:
        raise ValueError(f"{directory} holds no objects: no .ndjson.gz files with one object a line")
    random.Random(7).shuffle(objects)  # so that any number of pages has objects old and new
    return Captured(neos, objects=tuple(objects))


def main() -> None:
    """Render, announce and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, required=True, help="pages to render beforehand")
    parser.add_argument("--neos", type=int, default=DEFAULT_NEOS, help="objects in the simulated catalogue")
    parser.add_argument("--objects", type=Path, help="captured objects to serve instead")
    parser.add_argument("--fault", action="append", default=[], help="as `neo simulate` takes it")
    given = parser.parse_args()

    catalogue = captured(given.objects, given.neos) if given.objects else Counted(given.neos)
    app = create_app(catalogue, faults=[Fault.parse(text) for text in given.fault])
    rendered = app.state.rendered

    async def render() -> int:
        return sum([len(await rendered.page(number, PAGE_SIZE)) for number in range(given.pages)])

    async def requests(_: Request) -> Response:
        return JSONResponse(app.state.requests)

    size = asyncio.run(render())
    served = {
        "neos": min(given.pages * PAGE_SIZE, catalogue.near_earth_object_count),
        "mb": size / 1e6,
        "truth": {"near_misses": catalogue.truth.near_misses, "approaches": catalogue.truth.approaches},
    }
    assert catalogue.close_approach_count  # counted now, not while something is measured
    app.router.routes.append(Route("/requests", requests))

    def announce(url: str) -> None:
        print(json.dumps({"url": url} | served), flush=True)

    serve(app, "127.0.0.1", 0, announce=announce)


if __name__ == "__main__":
    main()
