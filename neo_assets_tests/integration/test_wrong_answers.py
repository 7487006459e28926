"""`neo run` against a server that is no NeoWs, or none at all: one clear line at the end, and the last good files stay.

Each run asks several times, seconds apart, before it gives up; all were started together by `doomed_runs`.
"""

import pytest

from neo_assets_tests.integration.harness import KEY, Place, Started, fingerprints

REASONS = {
    "html": "page 0: the response is not JSON: b'<html><body><h1>Scheduled maintenance",
    "truncated": "page 0: the response is cut short or not a Browse page",
    "wrong page": "page 0 was asked for and page 1 came",
    "empty": "page 0: the response is empty",
    "outage": "answered 503: NeoWs is out of order for now",
    "unreachable": "cannot be reached",
}


@pytest.mark.parametrize("case", REASONS)
def test_it_says_why_and_harms_nothing(
    case: str, gathered: Place, doomed_runs: dict[str, tuple[Place, Started]]
) -> None:
    at, run = doomed_runs[case]
    ended = run.wait(60)
    *before, last = ended.err.splitlines()

    assert ended.code == 1
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert last.startswith("Error: 1 of 1 pages could not be had (pages 0): ")
    assert REASONS[case] in last
    assert len(last) < 300
    assert sum(REASONS[case] in line and "trying again in" in line for line in before) == 4
    assert KEY not in ended.err
    assert {name: digest for name, (digest, _) in fingerprints(at.lake).items()} == {
        name: digest for name, (digest, _) in fingerprints(gathered.lake).items()
    }


def test_the_totals_can_still_be_read_afterwards(gathered: Place, doomed_runs: dict[str, tuple[Place, Started]]) -> None:
    at, run = doomed_runs["outage"]
    run.wait(60)
    assert at.neo("totals", "--json").out == gathered.neo("totals", "--json").out.replace(
        str(gathered.path), str(at.path)
    )
