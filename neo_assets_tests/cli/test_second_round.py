"""The second round of `neo run`: over HTTP, a NeoWs that spoils a third of its answers costs no page, an outage few
requests.
"""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
from starlette.responses import Response

from neo_assets.cli.runner import Runner
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.totals import read_totals
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.neows.errors import NotFound, Outage, PagesMissing, WrongPage
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets.sources.simulator.profile import Fault
from neo_assets_tests.integration.harness import KEY, SIX_PAGES, Faulty, counted, serving
from neo_assets_tests.integration.watched import Watched
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.simulator.asking import served

pytestmark = pytest.mark.slow

QUICK = RetryPolicy(first_wait_s=0.001, key_pause_s=0.001, shortest_key_pause_s=0.001)
SPOILED = ("rate-limit", "outage", "cut", "empty", "wrong-page", "reset")
PER_HOUR = 60


def spoiling(seed: int) -> Watched:
    """A NeoWs of ten pages that spoils 36% of its answers: each of six faults strikes 6% of all requests."""
    faults = [
        Fault(kind, "0" if kind == "rate-limit" else None, share=0.06 / (1 - 0.06 * earlier))
        for earlier, kind in enumerate(SPOILED)
    ]
    return Watched(create_app(Catalogue(200, seed=seed), keys=[KEY], requests_per_hour=PER_HOUR, faults=faults))


def everything(url: str, lake: Storage, policy: RetryPolicy = QUICK, **values: Any) -> dict[str, Any]:
    """What `neo run --heal` does; returns the page sets that failed."""
    here = {"nasa_api_keys": KEY, "base_url": url, "lake": lake.root}
    limits = {"requests_per_hour": PER_HOUR, "requests_per_second": 1000}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        Runner(settings_of(**here | limits | values), lake, instance, policy) as runner,
    ):
        failed = runner.refresh()
        runner.total()
        return dict(failed or runner.heal())


# In both, a page of two page sets fails five times in a row; in the second, the last of the five answers is a 429.
@pytest.mark.parametrize("seed", [680, 2311])
def test_a_server_that_spoils_a_third_of_its_answers_costs_no_page(lake: Storage, seed: int) -> None:
    neows = spoiling(seed)
    with served(neows) as url:
        assert everything(url, lake, pages=10) == {}
    settings = settings_of(pages=10, lake=lake.root)
    totals = vars(read_totals(lake, METRICS, settings.page_sets))
    assert totals.items() >= counted(neows.app.state.catalogue, 200).items()
    assert sum(neows.injected.values()) >= 5
    assert neows.refused == 0, "the budget was exceeded"


def other_page() -> Response:
    """A page that nobody asks for."""
    return Response(to_json(SIX_PAGES.page(5)), media_type="application/json")


def failing(neows: Faulty, page: int, times: int) -> None:
    """From now on, answer the first requests for a page with another page."""
    neows.answers[page] = lambda: other_page() if neows.asked.count(page) <= times else neows.app


def test_page_sets_that_failed_are_asked_for_again_after_all_others(
    lake: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    """No page is stored before and reusable, yet none that arrived is fetched twice."""
    neows = Faulty()
    failing(neows, page=1, times=11)
    with serving(neows) as url:
        assert everything(url, lake, pages=4, raw_max_age_hours=0) == {}
    assert Counter(neows.asked) == {0: 1, 1: 12, 2: 1, 3: 1}
    assert neows.asked[-2:] == [1, 1]
    told = [line for line in capsys.readouterr().err.splitlines() if re.match(r"(  )?asking again|\[", line, re.I)]
    assert told == [
        "  asking again for 1 page",
        "[1/2] page set 00000-00001: 1 page fetched, FAILED: 1 of 2 pages could not be fetched, the others were stored",
        "[2/2] page set 00002-00003: 2 pages fetched, 0 reused",
        "Asking again for 1 page set that could not be fetched",
        "[1/1] page set 00000-00001: 1 page fetched, 1 reused",
    ]


def test_healing_asks_again_too_and_fetches_no_page_twice(lake: Storage) -> None:
    neows = Faulty()
    with serving(neows) as url:
        assert everything(url, lake, pages=4) == {}
        neows.asked.clear()
        neows.catalogue = SIX_PAGES.reordered(seed=1)
        neows.app = neows.knowing([KEY])
        failing(neows, page=1, times=11)
        lake.delete(layout.raw_page(3))
        assert everything(url, lake, pages=4) == {}
    assert Counter(neows.asked) == {0: 1, 1: 12, 2: 1, 3: 1}


def test_a_page_set_with_a_page_that_does_not_exist_is_not_asked_for_again(lake: Storage) -> None:
    neows = Faulty()
    failing(neows, page=0, times=99)
    neows.answers[1] = lambda: Response(status_code=404)
    with serving(neows) as url:
        failed = everything(url, lake, pages=4)
    assert {key: {type(one) for one in error.errors} for key, error in failed.items()} == {
        "00000-00001": {WrongPage, NotFound}
    }
    assert Counter(neows.asked) == {0: 5, 1: 1, 2: 1, 3: 1}


def test_nothing_is_asked_for_again_once_the_key_is_rejected(lake: Storage) -> None:
    neows = Faulty()
    failing(neows, page=0, times=99)
    neows.answers[4] = lambda: Response("API_KEY_DISABLED", status_code=403)
    with serving(neows) as url:
        assert list(everything(url, lake, pages=6)) == ["00000-00001", "00004-00005"]
    assert Counter(neows.asked)[0] == 10
    assert neows.asked.count(4) == 1


@pytest.mark.parametrize(("answers", "requests"), [(0, 10), (5, 35)], ids=["from the start", "in the middle"])
def test_an_outage_ends_the_run_soon(
    lake: Storage, answers: int, requests: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usually after 5 or 20 requests; each page is tried five times at most."""
    down = Fault("outage", first=answers + 1)
    neows = Watched(create_app(Catalogue(200), keys=[KEY], faults=[down]))
    with served(neows) as url:
        if answers:
            failed = everything(url, lake, pages=10)
            assert list(failed) == ["00004-00005", "00006-00007", "00008-00009"]
            assert {type(failed["00008-00009"].errors[0])} == {Outage}
        else:
            with pytest.raises(PagesMissing, match="no more requests are sent for now"):
                everything(url, lake, pages=10)
    assert len(neows.came) - answers <= requests
    assert capsys.readouterr().err.count("Asking again for 3 page sets that could not be fetched") == bool(answers)


def test_nothing_is_fetched_ahead_for_page_sets_that_are_given_up(lake: Storage) -> None:
    """One page set is at hand, and computed all the same."""
    neows = Faulty()
    computed = layout.table_file(CLOSE_APPROACHES, "00002-00003")
    with serving(neows) as url:
        assert everything(url, lake, pages=4) == {}
        for path in (layout.raw_page(0), layout.raw_page(1), computed):
            lake.delete(path)
        neows.asked.clear()
        neows.break_down(lambda: Response(status_code=503))
        assert list(everything(url, lake, pages=6)) == ["00000-00001", "00004-00005"]
    assert set(neows.asked) == {0, 1}
    assert lake.versions([computed])


def test_a_pause_that_is_too_long_for_the_policy_is_not_cut_short(lake: Storage) -> None:
    neows = Faulty()
    neows.answers[2] = lambda: Response(status_code=503, headers={"Retry-After": "60"})
    with serving(neows) as url:
        assert list(everything(url, lake, replace(QUICK, longest_silence_s=50), pages=4)) == ["00002-00003"]
    assert neows.asked.count(2) == 1
