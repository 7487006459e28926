"""The description of the API says which values are allowed; Schemathesis holds every path to it."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.calendar import CALENDAR
from neo_assets.products.index import store
from neo_assets.products.report import PAGE
from neo_assets_tests.api.conftest import Get, client_of
from neo_assets_tests.integration.harness import CHECKOUT, copy, place
from neo_assets_tests.products.by_hand import rows
from neo_assets_tests.serving import neo_serve

TOKEN = "Planted-Token_0123456789-abcdefghijklmnopqrstuvwxyz"

ENDLESS = ["/events"]
"""Streams that never end, so that no answer is whole."""


WRITING = ["/v1/requests", "/v1/landing/{name}"]
"""OpenAPI cannot say what a valid body holds: which parameters there are depends on the table, and a file has to be a
page or NEOs, as NeoWs sends them.
"""

RULES = """
[checks.negative_data_rejection]  # a URL may be too long to be read at all
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 428, 429, 431, "5xx"]
"""


def parameters(described: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one["schema"] for one in described["paths"][path]["get"]["parameters"]}


def test_it_says_which_values_the_snapshot_allows(get: Get, served_lake: Storage) -> None:
    allowed = parameters(get("/openapi.json"), "/v1/close-approaches")
    [(bodies,)] = rows(served_lake, "SELECT list(DISTINCT orbiting_body ORDER BY orbiting_body) FROM approaches")
    assert allowed["body"]["enum"] == bodies
    assert {"APO", "AMO"} <= {*allowed["class"]["enum"]}
    assert {"-dist", "date", "miss_distance_au"} <= {*allowed["sort"]["enum"]}
    assert allowed["fields"]["pattern"].startswith("^(neo_id|name|")


def test_parameters_are_never_null(get: Get) -> None:
    described = get("/openapi.json")
    schemas = [parameters(described, path) for path in ("/v1/close-approaches", "/v1/neos/{neo}", "/v1/metrics/{name}")]
    assert "null" not in str(schemas)


def test_without_a_snapshot_it_still_describes_itself(lake: Storage) -> None:
    with client_of(lake) as client:
        allowed = parameters(client.get("/openapi.json").json(), "/v1/close-approaches")
    assert "enum" not in allowed["body"]
    assert {"limit", "dist-max"} <= {*allowed}


def test_every_answer_is_described(api: httpx.Client) -> None:
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        for operation in methods.values():
            assert "422" not in operation["responses"], path
            assert {"400", "408", "413", "414", "431"} <= {*operation["responses"]}, path
            assert "429" not in operation["responses"], "there is no limit"
            found = next(said for status, said in operation["responses"].items() if status.startswith("2"))
            assert found.get("content"), path


def test_where_clients_may_ask_only_so_often_it_says_so(served_lake: Storage) -> None:
    with client_of(served_lake, api_requests_per_minute=60) as client:
        operations = [one for of in client.get("/openapi.json").json()["paths"].values() for one in of.values()]
    assert all("429" in one["responses"] for one in operations)


@pytest.fixture(scope="module")
def whole_lake(served_lake: Storage, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A lake with everything that can be read."""
    whole = copy(served_lake, Storage(str(tmp_path_factory.mktemp("whole") / "lake")))
    store(whole, CALENDAR, b"BEGIN:VCALENDAR\r\n", "by hand", 0)
    store(whole, PAGE, b"<!doctype html><title>Report</title>", "by hand", 0)
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("of", ["every path", "writing", "one object", "one metric"])
def test_every_path_keeps_to_its_description(tmp_path: Path, whole_lake: Storage, of: str) -> None:
    """All checks of Schemathesis, with 100 examples of each operation; then again with an object and a metric that
    there are, as it does not guess one.

    Which fields there are depends on the metric, so that valid ones are only asked for in tests of `query`.
    """
    [(known,)] = rows(whole_lake, "SELECT id FROM neos LIMIT 1")
    narrowed = {
        "every path": [option for path in [*ENDLESS, *WRITING] for option in ("--exclude-path", path)],
        "writing": [
            *(option for path in WRITING for option in ("--include-path", path)),
            *("--exclude-checks", "positive_data_acceptance"),
        ],
        "one object": ["--include-path", "/v1/neos/{neo}"],
        "one metric": ["--include-path", "/v1/metrics/{name}", "--exclude-checks", "positive_data_acceptance"],
    }
    at = place(tmp_path / "tested")
    known_ones = f"""
        [[operations]]
        include-path = "/v1/neos/{{neo}}"
        parameters = {{ neo = "{known}" }}
        [[operations]]
        include-path = "/v1/metrics/{{name}}"
        parameters = {{ name = "total_first_observations" }}
    """
    (at.path / "schemathesis.toml").write_text(RULES + (known_ones if of.startswith("one") else ""))
    with neo_serve(tmp_path / "serving", whole_lake, NEO_API_TOKEN=TOKEN) as server:
        tested = at.start(
            "schemathesis",
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--max-examples", 100, "--continue-on-failure"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--generation-database", "none", "--seed", 1, "--no-color"),
            *narrowed[of],
            PYTHONPATH=CHECKOUT,
            SCHEMATHESIS_HOOKS="neo_assets_tests.api.described_rules",
        ).wait(timeout_s=3_000)
    assert tested.code == 0, tested.out[-20_000:]
    assert "Traceback" not in server.errors()
