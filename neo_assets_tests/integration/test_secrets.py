"""An API key from the settings appears nowhere after good and bad runs: not in the lake, nor in Dagster's storage and
logs, nor in the request ledger, nor in any output.
"""

from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from neo_assets_tests.integration.harness import KEY, Ended, Faulty, Place, place, serving, unpacked

pytestmark = pytest.mark.slow

WRONG_KEY = "Wrong-Key_0123456789-abcdefghijklmnopqrstuvwxyz"
SET_OF_THREE = {"NEO_PAGES": 6, "NEO_PAGES_PER_SET": 3, "NEO_REQUESTS_PER_SECOND": 100}


def echoing_404() -> Response:
    return JSONResponse({"error": {"code": KEY, "message": f"no page for api_key={KEY}"}}, status_code=404)


def echoing_page_of_another_kind() -> Response:
    return HTMLResponse(f"{KEY} is over its limit", status_code=400)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Ended]]:
    """A directory in which keys were used, in good and bad runs, and the output of the commands."""
    at = place(tmp_path_factory.mktemp("secrets") / "here", "dagster.yaml", **SET_OF_THREE)
    neows = Faulty({4: echoing_404, 5: echoing_page_of_another_kind})
    with serving(neows) as url:
        used = {"NEOWS_BASE_URL": url, "NASA_API_KEYS": f"{KEY},{KEY[::-1]}", "NASA_API_KEY": KEY}
        neows.app = neows.knowing([KEY, KEY[::-1]])
        ended = {"with pages that fail": at.neo("run", **used)}
        neows.mend()
        ended["mended"] = at.neo("run", **used)
        ended["with a wrong key"] = at.neo("run", **used | {"NASA_API_KEYS": WRONG_KEY, "NASA_API_KEY": ""}, **again())
        ended["through dagster"] = at.materialize("raw_pages", "00000-00002", **used, **again())
        ended["with a key that is none"] = at.neo("run", **used | {"NASA_API_KEYS": f"{KEY} {KEY}"})
    return at, ended


def again() -> dict[str, object]:
    return {"NEO_RAW_MAX_AGE_HOURS": 0}


def forms(key: str) -> set[bytes]:
    """A key as it is, URL-encoded, and reversed, which is the second key of the runs."""
    return {form.encode() for one in (key, key[::-1]) for form in (one, quote(one, safe=""), one.replace("_", "%5F"))}


def test_the_runs_ended_as_intended(runs: tuple[Place, dict[str, Ended]]) -> None:
    at, ended = runs
    assert {name: one.code for name, one in ended.items()} == {
        "with pages that fail": 1,
        "mended": 0,
        "with a wrong key": 1,
        "through dagster": 0,
        "with a key that is none": 2,
    }
    assert "403 API_KEY_INVALID: the API key is not accepted" in ended["with a wrong key"].err.splitlines()[-1]
    assert len(list(at.lake.glob("bronze/raw_pages/*.zst"))) == 6
    page = unpacked(at.lake / "bronze/raw_pages/page-00000.json.zst")
    assert b"api_key=REDACTED" in page


@pytest.mark.parametrize("key", [KEY, WRONG_KEY], ids=["a good key", "a wrong key"])
def test_no_file_holds_the_key(runs: tuple[Place, dict[str, Ended]], key: str) -> None:
    at, _ = runs
    everything = [file for file in at.path.parent.rglob("*") if file.is_file()]
    assert {"requests.sqlite", "index.db", "lake.json"} <= {file.name for file in everything}
    assert [str(file) for file in everything if any(form in unpacked(file) for form in forms(key))] == []
    assert [str(file) for file in everything if any(form.decode() in str(file) for form in forms(key))] == []


@pytest.mark.parametrize("key", [KEY, WRONG_KEY], ids=["a good key", "a wrong key"])
def test_no_command_prints_the_key(runs: tuple[Place, dict[str, Ended]], key: str) -> None:
    _, ended = runs
    assert [name for name, one in ended.items() for form in forms(key) if form.decode() in one.out + one.err] == []


def test_the_outages_of_other_tests_left_no_key(doomed_runs: dict[str, tuple[Place, object]]) -> None:
    """Servers that write the key into an error page (`doomed_runs`)."""
    outage, _ = doomed_runs["outage"]
    files = [file for file in Path(outage.path.parent).rglob("*") if file.is_file()]
    assert files
    assert [str(file) for file in files if any(form in unpacked(file) for form in forms(KEY))] == []
