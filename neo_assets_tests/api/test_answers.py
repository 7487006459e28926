"""The forms of an answer agree, and caches are told what they may do."""

import csv
import io
import json

import httpx
import pyarrow as pa
import pytest

from neo_assets.api.answers import MEDIA_TYPES, form_of
from neo_assets.api.problems import Problem

PATH = "/v1/close-approaches?body=Earth&limit=5"


def test_all_forms_have_the_same_rows(api: httpx.Client) -> None:
    answers = {form: api.get(f"{PATH}&format={form}") for form in MEDIA_TYPES}
    assert {form: one.headers["Content-Type"].split(";")[0] for form, one in answers.items()} == MEDIA_TYPES
    assert {one.headers["X-Total-Count"] for one in answers.values()} == {str(answers["json"].json()["total"])}
    fields, data = answers["json"].json()["fields"], answers["json"].json()["data"]
    of_json = [dict(zip(fields, row, strict=True)) for row in data]
    assert [json.loads(line) for line in answers["ndjson"].text.splitlines()] == of_json
    of_csv = list(csv.DictReader(io.StringIO(answers["csv"].text)))
    assert [(row["neo_id"], float(row["miss_distance_au"]), row["close_approach_at"]) for row in of_csv] == [
        (row["neo_id"], row["miss_distance_au"], row["close_approach_at"]) for row in of_json
    ]
    table = pa.ipc.open_stream(answers["arrow"].content).read_all()
    assert table["miss_distance_au"].to_pylist() == [row["miss_distance_au"] for row in of_json]
    assert table.schema.metadata[b"is_simulated"] == b"True"


def test_forms_without_an_envelope_tell_where_to_go_on(api: httpx.Client) -> None:
    answer = api.get(f"{PATH}&format=csv")
    following = api.get(answer.links["next"]["url"])
    assert following.status_code == 200
    assert following.text.splitlines()[0] == answer.text.splitlines()[0]
    assert following.text != answer.text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("text/html, application/json;q=0.9, */*;q=0.8", "json"),
        ("application/json;q=0.1, application/x-ndjson", "ndjson"),
        ("application/vnd.apache.arrow.stream", "arrow"),
        ("text/csv;q=0, application/json", "json"),
        ("text/csv;q=high, application/json", "json"),
    ],
)
def test_the_header_accept_chooses_the_form(accept: str, form: str) -> None:
    assert form_of(accept) == form


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", ","])
def test_if_no_form_is_accepted_that_is_a_problem(accept: str) -> None:
    with pytest.raises(Problem, match="text/csv"):
        form_of(accept)


def test_what_the_client_has_is_not_sent_again(api: httpx.Client) -> None:
    first = api.get(PATH)
    assert first.headers["Cache-Control"] == "public, max-age=60"
    etag = first.headers["ETag"]
    for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        again = api.get(PATH, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert {*again.headers["Vary"].split(", ")} >= {"Accept", "Accept-Encoding"}
    assert api.get(f"{PATH}&pha=true", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    assert api.get(f"{PATH}&format=csv", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_errors_are_not_kept(api: httpx.Client) -> None:
    assert api.get(f"{PATH}&x=1").headers["Cache-Control"] == "no-store"
