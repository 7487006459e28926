"""Read stored pages into tables that carry their origin. Parsing the JSON lives in `sources.neows.parse`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from neo_assets.lake.tables import with_origin
from neo_assets.pipeline import looks
from neo_assets.pipeline.origins import origin
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.pages import PageFacts, StoredPage
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE
from neo_assets.sources.neows.parse import Parsed, parse


def read_pages(pages: Iterable[StoredPage]) -> Parsed:
    """Read pages into tables, each with its origin. Nothing is written."""
    facts: list[PageFacts] = []

    def collecting_facts() -> Iterator[StoredPage]:
        for page in pages:
            facts.append(page.facts)
            looks.keep(page)  # for the checks
            yield page

    parsed = parse(collecting_facts())
    return replace(
        parsed,
        neo_records=with_origin(parsed.neo_records, origin(NEO_RECORDS, facts)),
        orbits=with_origin(parsed.orbits, origin(ORBITS, facts)),
        close_approaches=with_origin(parsed.close_approaches, origin(CLOSE_APPROACHES, facts)),
        neo_sightings=with_origin(parsed.neo_sightings, origin(NEO_SIGHTINGS, facts)),
        quarantine=with_origin(parsed.quarantine, origin(QUARANTINE, facts)),
    )
