"""Checks that nothing is lost or doubled on the way from the pages of a set to its tables. Counts are checked in
`counts`, what the values say about each other in `identities`.
"""

from collections import Counter
from itertools import zip_longest

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.orchestration.checks.check import FETCHED_AGAIN, Verdict
from neo_assets.orchestration.checks.derived import count
from neo_assets.orchestration.checks.read import Read
from neo_assets.pipeline.text import first_few
from neo_assets.schema.facts import NEOS_PER_PAGE
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import pages_of
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE, RAW_PAGE_INDEX


def every_page_is_whole(read: Read, page_set: str) -> Verdict:
    """Every page of the set is stored, with the number of NEOs expected at its place in the catalogue."""
    index = read(RAW_PAGE_INDEX).to_pylist()
    short = [
        row["page"]
        for row in index
        if row["neos"] != min(max(row["total_elements"] - NEOS_PER_PAGE * row["page"], 0), NEOS_PER_PAGE)
    ]
    missing = sorted(set(pages_of(page_set)) - {row["page"] for row in index})
    return not short and not missing, {
        "pages with too few or too many NEOs": first_few(short) or "none",
        "pages missing": first_few(missing) or "none",
    }


def catalogue_stood_still(read: Read, page_set: str) -> Verdict:
    """All pages of the set report the same catalogue size."""
    sizes = sorted(set(read(RAW_PAGE_INDEX)["total_elements"].to_pylist()))
    return len(sizes) == 1, {"NEOs in the catalogue": first_few(sizes)}


def every_neo_is_read_once(read: Read, page_set: str) -> Verdict:
    """Each NEO on the pages is in `neo_records` once, in quarantine, or an older copy of one that is."""
    ids = read(NEO_RECORDS)["id"]
    on_pages = pc.sum(read(RAW_PAGE_INDEX)["neos"], min_count=0).as_py()
    quarantined = read(QUARANTINE).num_rows
    sightings = read(NEO_SIGHTINGS)
    counted = sightings.filter(sightings["is_counted"])["neo_id"]
    older = sightings.num_rows - len(counted)
    all_there = on_pages == len(ids) + older + quarantined and ids.to_pylist() == counted.to_pylist()
    return all_there and pc.count_distinct(ids).as_py() == len(ids), {
        "NEOs on the pages": on_pages,
        "NEOs read": len(ids),
        "superseded copies left out": older,
        "in quarantine": quarantined,
    }


def every_approach_is_read_once(read: Read, page_set: str) -> Verdict:
    """Each NEO has as many rows in `close_approaches` as approaches on its page, read again without the parser."""
    if read.raw.fetched_again:
        return FETCHED_AGAIN
    given_up = {(row["page"], row["index"]) for row in read(QUARANTINE).select(["page", "index"]).to_pylist()}
    readable = [seen for page, index, seen in read.raw.objects if (page, index) not in given_up]
    is_counted = read(NEO_SIGHTINGS)["is_counted"].to_pylist()
    expected = Counter[str]()
    for seen, counts in zip_longest(readable, is_counted):
        if seen and counts:
            expected[seen.neo_id] += seen.approaches
    stored = Counter(read(CLOSE_APPROACHES)["neo_id"].to_pylist())
    off = [neo_id for neo_id in expected.keys() | stored.keys() if expected[neo_id] != stored[neo_id]]
    return not off, {
        "approaches on the pages": sum(seen.approaches for _, _, seen in read.raw.objects),
        "of these, to be read": expected.total(),
        "approaches read": stored.total(),
        "NEOs with too few or too many": first_few(sorted(off)) or "none",
    }


def keys_of_neows_are_known(read: Read, page_set: str) -> Verdict:
    """Every page has exactly the keys and types that NeoWs is known to send; others are named by their path."""
    pages = read.raw.other_shape
    return not pages, {"pages that differ": first_few(pages) or "none"} | dict(sorted(read.raw.drift.items()))


def nothing_is_in_quarantine(read: Read, page_set: str) -> Verdict:
    """Every record of the set could be read, or was discarded."""
    reasons = read.not_discarded()["reason"].to_pylist()
    return not reasons, {"records in quarantine": len(reasons), "reasons": first_few(sorted(set(reasons))) or "none"}


def every_neo_is_everywhere(read: Read, page_set: str) -> Verdict:
    """Each NEO seen on a page is in `neo_records`, and each one there, or in `close_approaches`, was seen on a page."""
    records, sightings = read(NEO_RECORDS)["id"], read(NEO_SIGHTINGS)
    seen = sightings.filter(sightings["is_counted"])["neo_id"]
    counts = {
        "on a page, not in neo_records": _lacking(seen, records),
        "in neo_records, on no page": _lacking(records, seen),
        "approaches of NEOs on no page": _lacking(read(CLOSE_APPROACHES)["neo_id"], seen),
    }
    return not any(counts.values()), counts


def every_neo_has_an_orbit(read: Read, page_set: str) -> Verdict:
    """Each NEO of `neo_records` is in `orbits`, and no other."""
    records, orbits = read(NEO_RECORDS)["id"], read(ORBITS)["neo_id"]
    counts = {
        "in neo_records, not in orbits": _lacking(records, orbits),
        "in orbits, not in neo_records": _lacking(orbits, records),
    }
    return not any(counts.values()), counts


def _lacking(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> int:
    """Number of ids that are not among others."""
    return count(pc.invert(pc.is_in(ids, among.combine_chunks())))
