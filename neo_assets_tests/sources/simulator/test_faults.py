"""Each fault in process and over HTTP, which requests it strikes, and when catalogues drift."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from neo_assets.sources.simulator.app import PREFIX, create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets.sources.simulator.gateway import SERVER_NAME
from neo_assets.sources.simulator.profile import FAULTS, Fault, PlannedDrift
from neo_assets_tests.sources.simulator.asking import SMALL, Clock, get, served

PAGE = "/neo/browse?page=1"
LATE = "/neo/browse?page=1&size=20"
"""The same page, requested with a short timeout."""
HURRIED_S = 1

Answer = httpx.Response | httpx.TransportError


def faulty(*faults: str, catalogue: Catalogue = SMALL, **options: Any) -> Starlette:
    return create_app(catalogue, faults=[Fault.parse(text) for text in faults], **options)


def in_process(app: Starlette, *paths: str) -> list[Answer]:
    async def ask() -> list[Answer]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulated" + PREFIX) as client:
            client.headers["X-Api-Key"] = "somebody"
            answers: list[Answer] = []
            for path in paths:
                try:
                    answers.append(await client.get(path))
                except httpx.TransportError as error:
                    answers.append(error)
            return answers

    return asyncio.run(ask())


def over_http(app: Starlette, *paths: str) -> list[Answer]:
    answers: list[Answer] = []
    headers = {"X-Api-Key": "somebody"}
    with served(app) as url, httpx.Client(base_url=url, headers=headers) as client:
        for path in paths:
            try:
                answers.append(client.get(path, timeout=HURRIED_S if path == LATE else 60))
            except httpx.TransportError as error:
                answers.append(error)
    return answers


both_ways = pytest.mark.parametrize("ask", [in_process, over_http])
Ask = Callable[..., list[Answer]]

STATUSES = {
    "rate-limit": 429,
    "forbidden": 403,
    "not-found": 404,
    "error": 500,
    "error=502": 502,
    "error=504": 504,
    "outage": 503,
    "html": 200,
    "empty": 200,
    "truncated": 200,
    "wrong-page": 200,
    "garbage-record": 200,
    "slow=20ms": 200,
}
BROKEN = {"cut": httpx.RemoteProtocolError, "timeout": httpx.ReadTimeout, "reset": httpx.ReadError}


def test_every_kind_is_tested_below() -> None:
    assert {text.partition("=")[0] for text in (*STATUSES, *BROKEN)} == set(FAULTS)


# --- effects


@both_ways
@pytest.mark.parametrize("text", STATUSES)
def test_bad_answers_pass_through_the_gateway(ask: Ask, text: str) -> None:
    app = faulty(f"{text}@page=1x1", requests_per_hour=10)
    before, answer, after = ask(app, "/neo/browse?page=0", PAGE, PAGE)
    assert isinstance(answer, httpx.Response)
    assert answer.status_code == STATUSES[text]
    assert answer.headers["Server"] == SERVER_NAME
    assert answer.headers["X-RateLimit-Limit"] == "10"
    assert answer.headers["X-RateLimit-Remaining"] == ("0" if text == "rate-limit" else "8")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    for other in (before, after):
        assert isinstance(other, httpx.Response)
        assert (other.status_code, len(other.json()["near_earth_objects"])) == (200, 20)
    assert app.state.injected == {text.partition("=")[0]: 1}
    assert app.state.requests == {"somebody": 3}


@both_ways
@pytest.mark.parametrize("text", BROKEN)
def test_a_connection_breaks_and_the_next_one_works(ask: Ask, text: str) -> None:
    app = faulty(f"{text}@page=1x1")
    error, answer = ask(app, LATE if text == "timeout" else PAGE, PAGE)
    assert type(error) is BROKEN[text]
    assert isinstance(answer, httpx.Response)
    assert answer.content == get(create_app(SMALL), PAGE)[0].content
    assert app.state.injected == {text: 1}


def test_the_errors_of_broken_connections() -> None:
    cut, reset = over_http(faulty("cut@page=0", "reset@page=1"), "/neo/browse", PAGE)
    length = len(get(create_app(SMALL), "/neo/browse")[0].content)
    assert f"expected {length})" in str(cut)
    assert "received 0" not in str(cut)
    assert "reset" in str(reset)


def only(text: str, path: str = PAGE, **options: Any) -> httpx.Response:
    (answer,) = get(faulty(text, **options), path)
    return answer


def test_a_false_rate_limit_has_a_retry_after() -> None:
    answer = only("rate-limit=2870")
    assert answer.headers["Retry-After"] == "2870"
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "OVER_RATE_LIMIT" in answer.text


def test_a_key_is_refused_by_code() -> None:
    app = faulty("forbidden=API_KEY_UNAUTHORIZED@key=bad")
    assert get(app, PAGE, key="good")[0].status_code == 200
    (answer,) = get(app, PAGE, key="bad")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "API_KEY_UNAUTHORIZED"


def test_not_found_has_the_body_of_neows() -> None:
    assert only("not-found").json()["http_error"] == "NOT_FOUND"


def test_an_outage_looks_like_herokus() -> None:
    answer = only("outage")
    assert answer.headers["Via"] == "1.1 heroku-router"
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Application error" in answer.text


def test_bodies_that_are_not_pages() -> None:
    assert only("empty").content == b""
    assert only("html").text.startswith("<!DOCTYPE html>")
    whole = get(create_app(SMALL), PAGE)[0].content
    truncated = only("truncated").content
    assert 0 < len(truncated) < len(whole)
    assert whole.startswith(truncated)


def test_the_wrong_page_is_the_complete_next_page() -> None:
    answer = only("wrong-page", "/neo/browse?page=1&size=10")
    assert answer.content == get(create_app(SMALL), "/neo/browse?page=2&size=10")[0].content


def test_garbage_is_one_value_of_one_object() -> None:
    right, wrong = get(create_app(SMALL), PAGE)[0].json(), only("garbage-record").json()
    pairs = zip(right["near_earth_objects"], wrong["near_earth_objects"], strict=True)
    ((good, bad),) = ((good, bad) for good, bad in pairs if good != bad)
    assert bad["orbital_data"].pop("observations_used") == "many"
    assert isinstance(good["orbital_data"].pop("observations_used"), int)
    assert good == bad
    assert only("garbage-record", "/neo/browse?page=9").json()["near_earth_objects"] == []


def test_faults_of_pages_do_not_strike_other_requests() -> None:
    app = faulty("wrong-page", "garbage-record")
    assert get(app, "/stats")[0].json()["near_earth_object_count"] == 45
    assert not app.state.injected


def test_latencies_add_up_and_come_before_another_fault() -> None:
    app = faulty("error", "slow=30ms", "outage", "slow=20-40ms")
    began = time.perf_counter()
    (answer,) = get(app, PAGE)
    assert time.perf_counter() - began >= 0.05
    assert answer.status_code == 500
    assert app.state.injected == {"slow": 2, "error": 1}


def test_keys_and_limits_come_first() -> None:
    app = faulty("outage", keys=["right"], requests_per_hour=1)
    assert [answer.status_code for answer in get(app, PAGE, PAGE, key="right")] == [503, 429]
    assert get(app, PAGE, key="wrong")[0].status_code == 403
    assert app.state.injected == {"outage": 1}


# --- which requests are struck


def statuses(app: Starlette, *pages: int) -> list[int]:
    return [answer.status_code for answer in get(app, *(f"/neo/browse?page={page}&size=1" for page in pages))]


def test_an_outage_lasts_from_request_to_request() -> None:
    app = faulty("outage@3-5")
    assert statuses(app, *range(7)) == [200, 200, 503, 503, 503, 200, 200]
    assert statuses(faulty("outage@3-"), *range(5)) == [200, 200, 503, 503, 503]


def test_a_share_is_drawn_by_page_and_attempt() -> None:
    in_order = statuses(faulty("error@20%"), *range(45), *range(45))
    assert 8 <= in_order.count(500) <= 28
    assert in_order[:45] != in_order[45:]
    assert statuses(faulty("error@20%"), *range(45), *range(45)) == in_order
    backwards = statuses(faulty("error@20%"), *reversed(range(45)), *reversed(range(45)))
    assert backwards == in_order[44::-1] + in_order[:44:-1]
    assert statuses(faulty("error@20%", catalogue=Catalogue(neos=45, seed=8)), *range(45)) != in_order[:45]
    assert statuses(faulty("error@100%"), *range(5)) == [500] * 5


def test_each_fault_is_drawn_independently() -> None:
    app = faulty("error=502@30%", "error=504@30%")
    answers = statuses(app, *range(45))
    assert answers.count(502) > 4
    assert answers.count(504) > 2


# --- drift


def test_the_catalogue_drifts_at_the_planned_request_and_stays_changed() -> None:
    drifts = [PlannedDrift.parse(text) for text in ("grow=5@2", "insert=3@4", "reorder@4", "number=100%@6")]
    app = create_app(SMALL, drifts=drifts)
    pages = [answer.json() for answer in get(app, *[PAGE] * 7)]
    grown = SMALL.grown(5)
    inserted = grown.inserted(3)
    numbered = inserted.reordered(2).numbered(1.0)
    assert [page["page"]["total_elements"] for page in pages] == [45, 50, 50, 53, 53, 53, 53]
    assert app.state.catalogue == numbered
    ids = [[neo["id"] for neo in page["near_earth_objects"]] for page in pages]
    assert ids[0] == ids[1] == ids[2]
    assert ids[3] == ids[4] != ids[5] == ids[6]
    assert ids[6] == [numbered.identity(place).id for place in range(20, 40)]


def test_a_drift_may_wait_for_a_time() -> None:
    clock = Clock()
    app = create_app(SMALL, drifts=[PlannedDrift.parse("insert=3@30s")], clock=clock)
    totals = []
    for wait_s in (0, 29.5, 0.5):
        clock.now += wait_s
        totals.append(get(app, PAGE)[0].json()["page"]["total_elements"])
    assert totals == [45, 45, 48]
