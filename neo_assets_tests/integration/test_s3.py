"""The lake on S3 as users see it: the same commands, layout and bytes as on disk, few requests, atomic writes even if
runs are killed, and one line where S3 refuses.
"""

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.integration.harness import (
    CHECKOUT,
    KEY,
    PATIENCE_S,
    Ended,
    Faulty,
    Place,
    counted,
    nobody_at,
    place,
    serving,
)
from neo_assets_tests.integration.watched import watched
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.s3_server import LAKES, S3Server, counting
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sources.neows import examples
from neo_assets_tests.sources.simulator.asking import served

pytestmark = pytest.mark.slow

Neo = Callable[..., Ended]

FIRST, SECOND = "00000-00001", "00002-00003"
TABLES = len(METRICS.of_a_page_set)


@pytest.fixture
def at(tmp_path: Path, s3_server: S3Server) -> Place:
    """A directory with its lake on S3: four pages in two sets."""
    lake = {"NEO_LAKE": s3_server.new_lake(), "NEO_PAGES": 4}
    return place(tmp_path / "here", "dagster.yaml", **lake, **s3_server.settings("least"))


@pytest.fixture
def inside(at: Place, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> Neo:
    """Runs `neo` in that directory and in this process, which is quicker."""
    return moved_to(at, neo, monkeypatch)


def moved_to(at: Place, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> Neo:
    monkeypatch.chdir(at.path)
    for name, value in at.settings.items():
        monkeypatch.setenv(name, str(value))
    return neo


def lake_of(at: Place) -> str:
    return str(at.settings["NEO_LAKE"])


def one_line(ended: Ended) -> str:
    """The one line that a failing command prints."""
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "-secret" not in ended.out + ended.err
    return ended.err.splitlines()[-1]


# --- everything works as on disk


def test_neo_run_ends_with_the_totals_and_leaves_nothing_on_disk(at: Place, s3_server: S3Server) -> None:
    ended = at.neo("run")
    assert ended.code == 0, ended.err
    assert f"Files         {lake_of(at)}" in ended.out
    totals = json.loads(at.neo("totals", "--json").out)
    assert totals.items() >= (counted(Catalogue(), 80) | {"page_sets": 2, "verdict": "consistent"}).items()
    [state] = (at.path / "data").iterdir()
    assert state.name.startswith("dagster-")
    assert at.neo("run").err.count(": up to date") == 2
    assert s3_server.uploads() == []


def test_the_least_permissions_are_enough_for_every_command(at: Place, inside: Neo, s3_server: S3Server) -> None:
    garbage = json.dumps(Catalogue().neo(0) | {"id": "7", "close_approach_data": [{"orbiting_body": 1}]})
    assert inside("run").code == 0
    s3_server.client.put_object(
        Bucket=LAKES, Key=f"{lake_of(at).rpartition('/')[2]}/landing/more.ndjson", Body=garbage.encode()
    )
    assert json.loads(inside("plan", "--json").out)["pages_to_fetch"] == 0
    landed = inside("land")
    assert landed.code == 0, landed.err
    keys = s3_server.keys(lake_of(at)).keys()
    assert not [key for key in keys if key.startswith("landing/")]
    assert [key for key in keys if key.startswith("archive/")]
    assert len(inside("quarantine", "list").out.splitlines()) == 1
    assert inside("quarantine", "replay").code == 0
    assert inside("run", "--heal").code == 0


def test_the_same_pages_give_the_same_bytes_as_on_disk(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, bucket = Storage(str(tmp_path / "lake")), Storage(s3.new_lake())

    def compute(lake: Storage, jobs: dict[str, list[str | None]]) -> None:
        defs = build_defs(settings_of(lake=lake.root, pages=4))
        with dg.DagsterInstance.ephemeral() as instance:
            for job, keys in jobs.items():
                for key in keys:
                    assert defs.resolve_job_def(job).execute_in_process(instance=instance, partition_key=key).success

    compute(disk, {"page_set": [FIRST, SECOND]})
    for info in [*disk.files("bronze/raw_pages"), disk.info("lake.json")]:
        bucket.write(info.path, disk.read(info.path))
    compute(disk, {"totals": [None]})
    compute(bucket, {"page_set": [FIRST, SECOND], "totals": [None]})  # every page is reused
    there, here = (
        {
            info.path: lake.read(info.path)
            for info in lake.files("")
            if not info.path.startswith((layout.AUDIT, layout.ACCEPTED))
        }
        for lake in (bucket, disk)
    )
    assert there == here
    assert len(there) == 4 + 1 + 2 * TABLES + len(METRICS.totals) + 1


# --- few requests


def test_the_number_of_requests_depends_on_pages_and_tables_only(inside: Neo, s3_server: S3Server) -> None:
    kinds = []
    for pages in (4, 8):
        with counting(s3_server) as wire:
            settings = {"NEO_LAKE": s3_server.new_lake(), "NEO_PAGES": pages, "AWS_ENDPOINT_URL": wire.url}
            assert inside("run", **settings).code == 0
            kinds.append(wire.kinds())
    more = {kind: kinds[1][kind] - kinds[0][kind] for kind in kinds[0]}
    sets, pages = 2, 4
    # Per set: one listing, and one more to fetch its pages ahead; one read of the mark; and its tables, each written
    # once and read once by the checks, `close_approaches` by those of the metrics too, and `neo_records` by those of
    # the snapshot. Each page is written once, and handed on from memory. The audit is written when a run begins and
    # when it ends.
    assert more == {"LIST": 2 * sets, "PUT": pages + (TABLES + 2) * sets, "GET": (1 + TABLES + 1 + 1) * sets}


def test_a_run_with_nothing_to_do_reads_each_file_of_a_page_set_once(inside: Neo, s3_server: S3Server) -> None:
    assert inside("run").code == 0
    with counting(s3_server) as wire:
        assert inside("run", AWS_ENDPOINT_URL=wire.url).err.count(": up to date") == 2
    read = Counter(request for request in wire.requests if request.startswith("GET") and "page_set" in request)
    assert len(read) == 2 * TABLES
    assert set(read.values()) == {1}


def test_a_landed_file_is_read_once(at: Place, inside: Neo, s3_server: S3Server) -> None:
    Storage(lake_of(at)).write("landing/own.ndjson", json.dumps(examples.neo()).encode())
    with counting(s3_server) as wire:
        landed = inside("land", AWS_ENDPOINT_URL=wire.url)
    assert "own.ndjson: 1 object\n" in landed.out
    assert wire.requests.count("GET landing/own.ndjson") == 1


def test_landed_pages_are_read_once_and_the_lakes_mark_once_for_all(
    at: Place, inside: Neo, s3_server: S3Server
) -> None:
    for number in range(4):
        Storage(lake_of(at)).write(f"landing/{number}.json", to_json(Catalogue().page(number)))
    with counting(s3_server) as wire:
        assert inside("land", AWS_ENDPOINT_URL=wire.url).code == 0
    read = Counter(request for request in wire.requests if request.startswith("GET"))
    assert read["GET lake.json"] <= 4
    again = {request: n for request, n in read.items() if "close_approaches" in request or "neo_records" in request}
    assert set(again.values()) == {2}, "by the checks of the table, and by those of the counts or of the snapshot"
    stored = {request: count for request, count in read.items() if "raw_pages" in request or "page_set" in request}
    assert {count for request, count in stored.items() if request not in again} == {1}
    assert len([request for request in read if "raw_pages" in request]) == 4


def test_large_page_sets_cost_no_more_requests_to_check_than_small_ones(inside: Neo, s3_server: S3Server) -> None:
    settings = {"NEO_PAGES": 50, "NEO_PAGES_PER_SET": 50}
    assert inside("run", **settings).code == 0
    with counting(s3_server) as wire:
        again = inside("run", **settings, AWS_ENDPOINT_URL=wire.url)
    assert ": up to date" in again.err
    assert not [request for request in wire.requests if "/page-" in request.partition("?")[0]]
    assert wire.kinds()["GET"] < 30
    assert len([request for request in wire.requests if "page-" in request]) == 1


def test_an_index_older_than_its_pages_is_ignored_and_written_again(
    at: Place, inside: Neo, s3_server: S3Server
) -> None:
    """As left by a run that died after it stored the pages and before it wrote the index."""
    assert inside("run").code == 0
    index = f"bronze/raw_page_index/page_set={FIRST}/data.parquet"
    lake, key = lake_of(at), f"{lake_of(at).rpartition('/')[2]}/{index}"
    old = s3_server.client.get_object(Bucket=LAKES, Key=key)["Body"].read()
    neows = Faulty(catalogue=Catalogue())
    with serving(neows) as url:
        fetch = {"NEOWS_BASE_URL": url, "NASA_API_KEYS": KEY, "NEO_REQUESTS_PER_SECOND": 1000}
        assert inside("run", NEO_RAW_MAX_AGE_HOURS=0, **fetch).code == 0
        before = s3_server.keys(lake)
        s3_server.client.put_object(Bucket=LAKES, Key=key, Body=old)
        neows.mend()
        again = inside("run", **fetch)
        assert neows.asked == []
    assert again.code == 0, again.err
    assert again.err.count(": up to date") == 1
    assert f"page set {FIRST}: 0 pages fetched, 2 reused" in again.err
    assert s3_server.keys(lake)[index] == before[index]


# --- atomic writes


# Meanwhile NeoWs fails and its catalogue changes; each failure makes a run pause for a second or two.
FAULTS = ("html@page=9x1", "reset@page=22x1", "cut@page=33x1", "slow=1-20ms@20%")
DRIFTS = ("insert=3@15",)


def test_killed_runs_leave_no_partial_object_or_upload_and_correct_totals(
    at: Place, inside: Neo, s3_server: S3Server
) -> None:
    api = watched(790, FAULTS, DRIFTS)
    lake = Storage(lake_of(at))
    with served(api) as url:
        neows: dict[str, Any] = {"NEOWS_BASE_URL": url, "NASA_API_KEYS": KEY, "NEO_REQUESTS_PER_SECOND": 1_000}
        settings = {"NEO_PAGES": 40, "NEO_PAGES_PER_SET": 20, **neows}
        for written in (3, 30):
            with counting(s3_server, most_puts=written + 10) as wire:
                run = at.start("neo", "run", "--heal", **settings, AWS_ENDPOINT_URL=wire.url)
                deadline = time.monotonic() + PATIENCE_S
                while wire.kinds()["PUT"] < written:
                    assert run.process.poll() is None, "the run was over before it could be killed"
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                run.process.send_signal(signal.SIGKILL)
                run.kill()
            assert s3_server.uploads() == []
            for info in lake.files(""):
                _assert_whole(lake, info.path)
        ended = inside("run", "--heal", **settings)
        assert ended.code == 0, ended.err
        totals = json.loads(inside("totals", "--json", **settings).out)
    catalogue = api.app.state.catalogue
    assert catalogue.near_earth_object_count == 793
    assert totals.items() >= (counted(catalogue, 793) | {"verdict": "consistent", "up_to_date": True}).items()
    assert set(api.injected) == {"html", "reset", "cut", "slow"}


def _assert_whole(lake: Storage, path: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = lake.read(path)
    if path.endswith(".parquet"):
        pq.ParquetFile(pa.BufferReader(data)).read()
    elif path.endswith(".zst"):
        json.loads(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    else:
        json.loads(data.to_pybytes())


def test_two_processes_on_one_set_end_with_one_consistent_set(
    at: Place, inside: Neo, s3_server: S3Server, tmp_path: Path
) -> None:
    second = place(tmp_path / "there", "dagster.yaml", **at.settings)
    sets: dict[str, Any] = {"NEO_PAGES": 20, "NEO_PAGES_PER_SET": 20}
    runs = [one.start("neo", "run", **sets) for one in (at, second)]
    for run in runs:
        ended = run.wait(120)
        assert ended.code == 0, ended.err
    totals = json.loads(inside("totals", "--json", **sets).out)
    assert totals.items() >= (counted(Catalogue(), 400) | {"verdict": "consistent", "up_to_date": True}).items()
    again = inside("run", **sets)
    assert "20 reused" in again.err or ": up to date" in again.err
    assert s3_server.uploads() == []


# --- refusals by every command


@pytest.fixture(scope="module")
def gathered_on_s3(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Place:
    """A directory with a good lake of one page on S3. Do not change it."""
    at = place(tmp_path_factory.mktemp("on-s3") / "here", "dagster.yaml", NEO_PAGES=1, NEO_LAKE=s3_server.new_lake())
    at.settings |= s3_server.settings()
    assert at.neo("run").code == 0
    return at


@pytest.fixture
def refused(gathered_on_s3: Place, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> Neo:
    """Runs `neo` in that directory and in this process, with wrong settings."""
    return moved_to(gathered_on_s3, neo, monkeypatch)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such bucket": ({"NEO_LAKE": "s3://nowhere/lake"}, "there is no bucket nowhere at "),
    "wrong key": ({"AWS_ACCESS_KEY_ID": "nobody"}, " does not know the access key: set "),
    "wrong secret": ({"AWS_SECRET_ACCESS_KEY": "x"}, "the secret key does not match the access key: set AWS_PRO"),
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "no AWS credentials were found: set ",
    ),
    "down": ({"AWS_ENDPOINT_URL": "http://{nobody}"}, "does not answer: check AWS_ENDPOINT_URL and the network"),
}


@pytest.fixture
def nobody() -> Iterator[str]:
    with nobody_at() as address:
        yield address


@pytest.mark.parametrize("why", REFUSED)
def test_every_command_ends_with_one_line(
    gathered_on_s3: Place, refused: Neo, s3_server: S3Server, why: str, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, message = REFUSED[why]
    before = s3_server.keys(lake_of(gathered_on_s3))
    for name, value in changed.items():
        monkeypatch.setenv(name, value.format(nobody=nobody))
    for command in ("run", "totals", "plan"):
        line = one_line(refused(command))
        assert line.startswith("Error: cannot "), command
        assert message in line, command
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(dg.Failure) as failure:
        build_defs(Settings.load()).resolve_job_def("page_set").execute_in_process(
            instance=instance, partition_key="00000-00000"
        )
    assert message in str(failure.value.description)
    assert s3_server.keys(lake_of(gathered_on_s3)) == before


def test_a_reader_sees_the_totals_and_changes_nothing(gathered_on_s3: Place, refused: Neo, s3_server: S3Server) -> None:
    before = s3_server.keys(lake_of(gathered_on_s3))
    reader = s3_server.settings("reader")
    assert refused("totals", **reader).code == 0
    line = one_line(refused("run", NEO_RAW_MAX_AGE_HOURS=0, **reader))
    assert "permission denied: grant s3:ListBucket on the bucket and s3:GetObject, s3:PutObject" in line
    assert s3_server.keys(lake_of(gathered_on_s3)) == before


def test_a_run_ends_in_time_if_the_endpoint_stops_answering(at: Place, s3_server: S3Server) -> None:
    with counting(s3_server, most_puts=5) as wire:
        ended = at.neo("run", NEO_PAGES=20, NEO_PAGES_PER_SET=20, AWS_MAX_ATTEMPTS=1, AWS_ENDPOINT_URL=wire.url)
    assert "timed out or closed the connection early: check AWS_ENDPOINT_URL and the network" in one_line(ended)


# --- settings


def test_aws_settings_may_be_in_the_env_file(at: Place, s3_server: S3Server) -> None:
    lines = [f"{name}={value}" for name, value in (s3_server.settings() | {"NEO_LAKE": lake_of(at)}).items()]
    (at.path / ".env").write_text("\n".join(lines))
    plain = Place(at.path, {"NEO_PAGES": 1})
    assert plain.neo("run").code == 0
    assert plain.materialize("raw_pages", "00000-00000").code == 0
    assert "lake.json" in s3_server.keys(lake_of(at))


@pytest.fixture
def logs_on_s3(at: Place) -> str:
    """Switch `dagster.yaml` to compute logs on S3. Returns their place in the lake."""
    yaml = (at.path / "dagster.yaml").read_text()
    on_disk, _, rest = yaml.partition("compute_logs:")[2].partition("# compute_logs:")
    commented, _, after = rest.partition("\n\n")
    on_s3 = commented.replace("\n# ", "\n").replace("your-bucket", LAKES)
    on_s3 = on_s3.replace("neo/compute_logs", f"{lake_of(at).rpartition('/')[2]}/logs")
    (at.path / "dagster.yaml").write_text(yaml.partition("compute_logs:")[0] + "compute_logs:" + on_s3 + "\n\n" + after)
    assert on_disk not in (at.path / "dagster.yaml").read_text()
    return "logs/storage/"


def test_compute_logs_may_go_to_s3(at: Place, s3_server: S3Server, logs_on_s3: str) -> None:
    ended = at.materialize("raw_pages", FIRST)
    assert ended.code == 0, ended.err
    assert [key for key in s3_server.keys(lake_of(at)) if key.startswith(logs_on_s3)]


def test_duckdb_reads_the_tables_on_s3_as_the_readme_shows(gathered_on_s3: Place) -> None:
    [line] = re.findall(
        r"^\.venv/bin/python -c \"(import duckdb, .*)\"$", (CHECKOUT / "docs/s3.md").read_text(), re.MULTILINE
    )
    ended = gathered_on_s3.run("python", "-c", line.replace("s3://your-bucket/neo", lake_of(gathered_on_s3)))
    assert ended.code == 0, ended.err
    assert re.search(r"Earth +│ +0\.\d+", ended.out)
