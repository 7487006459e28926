"""`neo run` against a server that is not NeoWs, or no server at all: one clear line, and the last good files stay.

Each run tries several times, seconds apart, before it gives up; `doomed_runs` starts them all together.
"""

import re

import pytest

from neo_assets_tests.integration.harness import KEY, Place, Started, fingerprints

pytestmark = pytest.mark.slow

REASONS = {
    "html": "the response is not JSON: <html><body><h1>Scheduled maintenance",
    "truncated": "the response is truncated or damaged JSON",
    "wrong page": "page 1 arrived instead",
    "empty": "the response is empty",
    "outage": "answered 503: NeoWs is unavailable",
    "unreachable": "cannot be reached",
}


@pytest.mark.parametrize("case", REASONS)
def test_it_reports_why_and_harms_nothing(
    case: str, gathered: Place, doomed_runs: dict[str, tuple[Place, Started]]
) -> None:
    at, run = doomed_runs[case]
    ended = run.wait()
    *before, last = ended.err.splitlines()

    assert ended.code == 1
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert last.startswith("Error: 1 of 1 page could not be fetched (page 0): ")
    assert REASONS[case] in last
    assert len(last) < 300
    attempts = [
        line for line in before if REASONS[case] in line and re.search(r"next (attempt|request) in \d+ s", line)
    ]
    assert len(attempts) >= 3
    assert KEY not in ended.err
    assert {name: digest for name, (digest, _) in fingerprints(at.lake).items()} == {
        name: digest for name, (digest, _) in fingerprints(gathered.lake).items()
    }


def test_the_totals_can_still_be_read_afterwards(
    gathered: Place, doomed_runs: dict[str, tuple[Place, Started]]
) -> None:
    at, run = doomed_runs["outage"]
    run.wait()
    assert at.neo("totals", "--json").out == gathered.neo("totals", "--json").out.replace(
        str(gathered.path), str(at.path)
    )
