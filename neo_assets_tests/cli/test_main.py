"""The `neo` command from outside: its output, its exit codes, and its messages about wrong input."""

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from neo_assets.cli import main as cli
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.settings import ALLOWED
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import (
    PATIENCE_S,
    Ended,
    Place,
    counted,
    fingerprints,
    listening,
    place,
)
from neo_assets_tests.s3_server import VERSIONED

Neo = Callable[..., Ended]

TOTALS = {
    *("source", "pages", "page_sets", "neos", "near_misses", "near_misses_earth", "approaches", "approaches_earth"),
    "years",
}


@dataclass
class Here:
    """A directory in which `neo` runs, in this process."""

    path: Path
    neo: Neo
    lake: Storage


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, neo: Neo) -> Here:
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    return Here(directory, neo, Storage("data/lake"))


@pytest.fixture
def anywhere(lake_kind: str, request: pytest.FixtureRequest, here: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Such a directory, with its lake in the default place or on S3."""
    if lake_kind == "s3":
        here.lake = Storage(request.getfixturevalue("s3").new_lake(VERSIONED))
        monkeypatch.setenv("NEO_LAKE", here.lake.root)
    return here


def one_line(ended: Ended) -> str:
    """The one line that a failing command prints."""
    assert ended.out == ""
    assert "Traceback" not in ended.err
    [line] = ended.err.splitlines()
    return line


class TestHelp:
    """`neo --help`, which a newcomer reads first."""

    def test_it_lists_every_command_and_every_setting_with_its_allowed_values(self, here: Here) -> None:
        ended = here.neo("--help")
        assert ended.code == 0
        for command in ("run", "totals", "simulate"):
            assert re.search(rf"^  {command} +\S", ended.out, re.MULTILINE)
        for name, allowed in ALLOWED.items():
            assert re.search(rf"^ +{name} +{re.escape(allowed)}", ended.out, re.MULTILINE)
        assert "embedded simulator" in ended.out
        assert "If NASA_API_KEYS and NASA_API_KEY are both set, NASA_API_KEYS wins." in ended.out

    def test_no_line_is_cut_off(self, here: Here) -> None:
        for arguments in (["--help"], ["run", "--help"], ["totals", "--help"], ["simulate", "--help"]):
            assert not re.search(r"\w\.\.\.$", here.neo(*arguments).out, re.MULTILINE)

    def test_every_option_of_every_command_is_explained(self, here: Here) -> None:
        for command in cli.neo.commands.values():
            for parameter in command.params:
                explained = getattr(parameter, "help", None) or str(parameter.metavar).strip("[].") in str(command.help)
                assert explained, f"{command.name} {parameter.name}"
            assert command.help

    def test_it_imports_no_heavy_library(self) -> None:
        script = (
            "import atexit, sys; sys.argv = ['neo', '--help']\nfrom neo_assets.cli.main import main\n"
            "heavy = {'dagster', 'pyarrow', 'duckdb', 'httpx', 'jinja2', 'vl_convert'}\n"
            "atexit.register(lambda: print(sorted(heavy & sys.modules.keys()), file=sys.stderr))\n"
            "main()"
        )
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert ended.stdout.startswith("Usage: neo ")
        assert ended.stderr.strip() == "[]"


class TestRun:
    """`neo run` on the embedded simulator."""

    def test_totals_go_to_standard_output_and_progress_to_standard_error(self, anywhere: Here) -> None:
        ended = anywhere.neo("run", NEO_PAGES=2, NEO_PAGES_PER_SET=1)
        assert ended.code == 0
        assert re.fullmatch(r"([A-Z][\w' ]+? {2,}\S.*\n)+", ended.out)
        for name in (
            "Source",
            "Pages",
            "NEOs",
            "Near misses",
            "Approaches",
            "Snapshot",
            "Years",
            "Files",
            "Dagster's UI",
        ):
            assert re.search(rf"^{name} ", ended.out, re.MULTILINE)
        assert re.search(r"^Source +simulator", ended.out)
        assert re.search(rf"^Files +{re.escape(anywhere.lake.root)}$", ended.out, re.MULTILINE)
        first, *sets = ended.err.splitlines()
        assert first.startswith("Gathering 2 pages in 2 page sets from the embedded simulator into ")
        assert [line.split(":")[0] for line in sets] == [
            "[1/2] page set 00000-00000",
            "[2/2] page set 00001-00001",
        ]
        assert all("1 page fetched, 0 reused" in line for line in sets)

    @pytest.mark.slow
    @disk_and_s3
    def test_the_second_run_fetches_and_writes_nothing(self, anywhere: Here) -> None:
        """So a lake that cannot be written to is no error, and totals keep the time at which they were computed."""
        first = anywhere.neo("run", NEO_PAGES=2)
        before = fingerprints(anywhere.lake)
        second = anywhere.neo("run", NEO_PAGES=2)
        assert (second.code, second.out) == (0, first.out)
        assert anywhere.neo("totals", NEO_PAGES=2).out == first.out
        assert "page set 00000-00001: up to date" in second.err
        assert fingerprints(anywhere.lake) == before

    @pytest.mark.slow
    def test_a_lost_total_or_snapshot_is_computed_again(self, here: Here) -> None:
        first = here.neo("run", NEO_PAGES=1)
        for name in ("total_near_misses", "total_yearly_approaches", "snapshot"):
            here.lake.delete(f"gold/{name}/data.parquet")
            assert here.neo("run", NEO_PAGES=1).out == first.out
        before = here.lake.read("gold/total_near_misses/data.parquet")
        here.lake.write("gold/total_near_misses/data.parquet", b"damaged")
        assert here.neo("run", NEO_PAGES=1).out == first.out
        assert here.lake.read("gold/total_near_misses/data.parquet") == before

    @pytest.mark.slow
    def test_it_prints_json_and_covers_the_pages_that_the_option_names(self, here: Here) -> None:
        ended = here.neo("run", "--json", "--pages", "3", NEO_PAGES=1)
        assert (json.loads(ended.out)["pages"], json.loads(ended.out)["page_sets"]) == (3, 2)
        assert ended.out == here.neo("totals", "--json", NEO_PAGES=3).out
        refused = here.neo("run", "--pages", "0")
        assert refused.code == 2
        assert "--pages" in refused.err

    @pytest.mark.slow
    def test_strict_ends_with_3_unless_the_snapshot_is_consistent(self, here: Here) -> None:
        assert here.neo("run", "--strict", NEO_PAGES=1).code == 0
        here.lake.write("landing/bad.ndjson", b'{"id": "1"}\n')
        assert "1 of them in quarantine" in here.neo("land", NEO_PAGES=1).out
        assert here.neo("run", NEO_PAGES=1).code == 0
        strict = here.neo("run", "--strict", NEO_PAGES=1)
        assert strict.code == 3
        assert strict.err.splitlines()[-1] == "Error: the snapshot is incomplete: records in quarantine: 1"
        assert "Snapshot      incomplete" in strict.out

    @pytest.mark.slow
    def test_only_data_and_the_request_ledger_are_left_behind(
        self, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even without a `dagster.yaml`, when Dagster would write telemetry to the user's home."""
        monkeypatch.delenv("DAGSTER_DISABLE_TELEMETRY")
        here.neo("run", NEO_PAGES=1)
        assert [path.name for path in tmp_path.iterdir()] == ["here"]
        assert [path.name for path in here.path.iterdir()] == ["data"]
        assert {path.name for path in (here.path / "data").iterdir()} == {"dagster", "lake"}

    @pytest.mark.slow
    @pytest.mark.parametrize("stream", ["stderr", "stdout"])
    def test_a_closed_stream_does_no_harm(self, here: Here, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Python gives it as None, for example to a daemon's child."""
        monkeypatch.setattr(sys, stream, None)
        ended = here.neo("run", NEO_PAGES=1)
        getattr(sys, stream).close()
        assert ended.code == 0
        assert (ended.out == "", ended.err == "") == (stream == "stdout", stream == "stderr")

    @pytest.mark.parametrize("arguments", [("run",), ("plan", "--json"), ("--help",)])
    @pytest.mark.parametrize("buffered", [True, False])
    def test_standard_output_on_a_full_disk_is_an_error(
        self, here: Here, arguments: tuple[str, ...], buffered: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEO_PAGES", "1")
        with open("/dev/full", "wb", buffering=0) as raw, io.TextIOWrapper(raw, write_through=not buffered) as full:
            monkeypatch.setattr(sys, "stdout", full)
            ended = here.neo(*arguments)
            full.flush()  # as Python does at exit
        assert ended.code == 1
        assert ended.err.splitlines()[-1] == "Error: standard output cannot be written (No space left on device)"
        assert "Traceback" not in ended.err

    @pytest.mark.slow
    def test_settings_are_read_from_a_dotenv_file(self, here: Here) -> None:
        (here.path / ".env").write_text("NEO_PAGES=1\nNEO_LAKE=from-file/lake\n")
        assert "1 in 1 of 1 page sets" in here.neo("run").out
        assert (here.path / "from-file/lake/gold/total_near_misses/data.parquet").is_file()
        assert not (here.path / "data/lake").exists()


class TestFailingAtOnce:
    """A command that fails before it has done anything, or has nothing to do, leaves nothing behind."""

    @pytest.mark.parametrize("command", ["run", "land", "recompute", "totals"])
    @pytest.mark.parametrize("lake", ["file/lake", "/proc/lake"])
    def test_a_lake_that_cannot_be_used(self, here: Here, command: str, lake: str) -> None:
        (here.path / "file").write_text("mine")
        here.neo(command, NEO_LAKE=lake)
        assert [path.name for path in here.path.iterdir()] == ["file"]

    def test_a_lake_of_another_source(self, here: Here, tmp_path: Path) -> None:
        lake = tmp_path / "lake"
        owner.claim(Storage(str(lake)), "simulator")
        ended = here.neo("run", NEO_LAKE=lake, NASA_API_KEYS="some-key")
        assert "holds data from simulator" in ended.err.splitlines()[-1]
        assert list(here.path.iterdir()) == []

    def test_an_empty_landing_zone(self, here: Here) -> None:
        assert here.neo("land").out == "Nothing to do: no files in data/lake/landing.\n"
        assert list(here.path.iterdir()) == []


class TestTotals:
    """`neo totals`."""

    def test_json_is_one_object_that_agrees_with_the_catalogue(self, anywhere: Here) -> None:
        anywhere.neo("run", NEO_PAGES=2)
        ended = anywhere.neo("totals", "--json", NEO_PAGES=2)
        assert ended.code == 0
        assert ended.err == ""
        assert ended.out.count("\n") == 1
        totals = json.loads(ended.out)
        assert totals.keys() >= TOTALS
        expected = {"source": "simulator", "pages": 2, "page_sets": 1} | counted(Catalogue(), 40)
        assert totals.items() >= expected.items()
        later = anywhere.neo("totals", NEO_PAGES=4)
        assert "2 in 1 of 1 page sets" in later.out, "all figures are of the state that the totals were computed from"
        assert "out of date" in later.err

    def test_before_any_run_their_absence_is_reported_in_one_line(self, anywhere: Here) -> None:
        ended = anywhere.neo("totals")
        assert ended.code == 1
        assert re.match(r"Error: .*run `neo run`", one_line(ended))
        assert list(anywhere.path.iterdir()) == []
        assert anywhere.lake.files("") == []


class TestWrongSettings:
    """One line that names the variable, its value and the allowed values, before anything runs."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("NEO_PAGES", "0"),
            ("NEO_PAGES", "many"),
            ("NEO_PAGES_PER_SET", "-1"),
            ("NEO_LAKE", "ftp://somewhere"),
            ("NEOWS_BASE_URL", "api.nasa.gov"),
            ("NEO_REQUESTS_PER_HOUR", "0"),
            ("NEO_REQUESTS_PER_SECOND", "nan"),
            ("NEO_RAW_MAX_AGE_HOURS", "-1"),
            ("NEO_ENGINE", "abacus"),
        ],
    )
    @pytest.mark.parametrize("command", ["run", "totals"])
    def test_a_wrong_value_is_reported(self, here: Here, command: str, name: str, value: str) -> None:
        ended = here.neo(command, **{name: value})
        assert ended.code == 2
        assert one_line(ended) == f"Error: {name}={value} is not allowed: give {ALLOWED[name]}"
        assert list(here.path.iterdir()) == []

    def test_an_impossible_dagster_home_is_reported(self, here: Here) -> None:
        (here.path / "file").write_text("mine")
        ended = here.neo("run", DAGSTER_HOME=here.path / "file/home")
        assert ended.code == 1
        assert re.match(
            rf"Error: Dagster's state in {here.path}/file/home cannot be read or written \(Not a directory\): .*"
            "set DAGSTER_HOME to another directory$",
            ended.err.splitlines()[-1],
        )

    def test_a_wrong_key_is_not_repeated(self, here: Here) -> None:
        ended = here.neo("run", NASA_API_KEYS="not a key")
        assert ended.code == 2
        assert "not a key" not in one_line(ended)

    def test_another_server_needs_a_key(self, here: Here) -> None:
        ended = here.neo("run", NEOWS_BASE_URL="http://127.0.0.1:9/neo/rest/v1")
        assert ended.code == 2
        assert "set NASA_API_KEYS too" in one_line(ended)

    def test_an_unknown_command_or_option_is_refused(self, here: Here) -> None:
        assert here.neo("rnu").code == 2
        ended = here.neo("run", "--fast")
        assert ended.code == 2
        assert "Traceback" not in ended.err


class TestSimulate:
    """`neo simulate`, as a process of its own, and `neo run` against it."""

    @pytest.mark.slow
    def test_its_pages_are_gathered_like_nasas(self, tmp_path: Path, here: Here) -> None:
        at: Place = place(tmp_path / "simulator")
        server = at.start("neo", "simulate", "--port", 0, "--neos", 50)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (url := re.search(r"http://127\.0\.0\.1:\d+/neo/rest/v1", server.output())):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "50 NEOs" in server.output()
            browsed = httpx.get(f"{url[0]}/neo/browse", headers={"X-Api-Key": "any"}, timeout=60).json()
            assert browsed["page"]["total_elements"] == 50
            ended = here.neo(
                "run", NEOWS_BASE_URL=url[0], NASA_API_KEYS="any-key-will-do", NEO_PAGES=3, NEO_REQUESTS_PER_SECOND=100
            )
            assert ended.code == 0
            assert f"from {url[0]}" in ended.err
            assert re.search(r"^Source +simulator", ended.out)
            settings = {"NEO_PAGES": 3, "NASA_API_KEYS": "any-key-will-do", "NEOWS_BASE_URL": url[0]}
            totals = json.loads(here.neo("totals", "--json", **settings).out)
            assert totals.items() >= counted(Catalogue(neos=50), 50).items()
        finally:
            ended = server.interrupt()
        assert ended.code == 0
        assert ended.err == ""
        assert list(at.path.iterdir()) == []

    def test_a_busy_port_is_refused_in_one_line(self, here: Here) -> None:
        with listening() as busy:
            port = busy.getsockname()[1]
            ended = here.neo("simulate", "--port", str(port))
        assert ended.code == 1
        message = (
            f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; give another --port or --host"
        )
        assert one_line(ended) == message
