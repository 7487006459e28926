"""The parser's version, which makes tables of another version stale."""

import hashlib
import json

from neo_assets.schema.page_sets import FIRST_LANDED_PAGE
from neo_assets.sources.neows.parse import VERSION, parse
from neo_assets_tests.sources.neows.examples import approach, neo, page


def digest_of_fixed_pages() -> str:
    """SHA-256 of everything that `parse` returns for fixed pages, which contain every kind of value."""
    orbit = {"orbit_class": {"orbit_class_type": "APO"}, "data_arc_in_days": 5, "mean_anomaly": "1e-3"}
    sentry = {"is_sentry_object": True, "sentry_data": "http://neows.example/sentry/2?api_key=k"}
    objects = [
        neo("1", approach("0.05", "7479893.5", "1969-07-20", "Moon"), approach(day="2029-04-13")),
        neo("2", name="433 Eros (1898 DQ)", name_limited="Eros", absolute_magnitude_h=10.31),
        neo("3", id=..., designation=..., nasa_jpl_url=..., estimated_diameter=..., orbital_data=...),
        neo("4", approach("not a number")),
        neo("9", approach("-0.1")),
        "not an object",
        neo("6", name="P/1999 R1 (SOHO)", designation="P/1999 R1", orbital_data=orbit, **sentry),
    ]
    poor = neo("7", orbital_data=...), neo("10", designation=...)
    landed = page(*poor, neo("8", approach()), number=FIRST_LANDED_PAGE)
    parsed = parse([page(*objects), page(objects[0], neo("5", name="(1898 DQ)"), number=1, hours=1), landed])
    tables = (parsed.neo_records, parsed.orbits, parsed.close_approaches, parsed.neo_sightings, parsed.quarantine)
    rows = [table.to_pylist() for table in tables]
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


def test_other_values_for_the_same_pages_are_another_version() -> None:
    """If this fails, raise `parse.VERSION`: the next run then computes all tables again. Put the digest here."""
    assert (VERSION, digest_of_fixed_pages()) == (
        6,
        "0e2fc6069066b86113274ebe923f158461e0fbfb0360469bad7c99a21b3665e5",
    )
