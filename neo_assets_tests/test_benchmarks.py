"""The benchmarks: their command lines, their server, and that wrong totals end a comparison. No figure is asserted."""

import contextlib
import gzip
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks import compare, copies, measure, products, published, scale, serve, server
from benchmarks.harness import metered
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.refresh import due
from neo_assets.pipeline.totals import read_totals
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.pages import SIMULATOR
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.pipeline.by_hand import METRICS, total
from neo_assets_tests.postgres_server import programs_or_skip
from neo_assets_tests.products.by_hand import fill, rows, with_products

PARTS = ("imports", "first", "compute", "pace", "s3", "gather")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs the command line; returns the parts that it would measure, in order."""
    done: list[str] = []

    def note(part: str, *_: object) -> None:
        done.append(part)

    for part in PARTS:
        monkeypatch.setattr(measure, part, partial(note, part))

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["measure.py", *arguments])
        measure.main()
        return done

    return run


def test_several_parts_are_measured_in_the_order_given(measured: Callable[..., list[str]]) -> None:
    assert measured("first", "import") == ["first", "imports"]


@pytest.mark.parametrize("arguments", [[], ["all"], ["first", "all"]])
def test_all_parts_are_measured_by_default(measured: Callable[..., list[str]], arguments: list[str]) -> None:
    assert measured(*arguments) == list(PARTS)


def test_an_unknown_part_is_refused(measured: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measured("first", "second")
    assert "invalid choice: 'second'" in capsys.readouterr().err


def test_computing_stored_pages_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure.store_pages(tmp_path, 1)
    measure.compute_only(tmp_path, 1, 1)
    assert capsys.readouterr().out.startswith("compute, 1 pages in 1 sets: ")


@pytest.mark.slow
def test_the_products_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--pages", "2", "--pages-per-set", "1", "--runs", "1"]
    monkeypatch.setattr(sys, "argv", ["products.py", *arguments])
    products.main()
    out = capsys.readouterr().out
    assert out.startswith("products, 2 pages in 2 sets: ")
    assert "; the report in " in out
    assert " approaches in " in out


@pytest.mark.slow
def test_a_publication_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    programs_or_skip()
    monkeypatch.setattr(sys, "argv", ["published.py", "--pages", "2", "--runs", "1"])
    published.main()
    assert capsys.readouterr().out.startswith("published 40 NEOs and ")


def test_each_run_computes_what_the_products_are_made_of_and_keeps_what_page_sets_add_up_to(tmp_path: Path) -> None:
    files = ["products/neo.duckdb", "gold/total_first_observations/data.parquet", "gold/total_near_misses/data.parquet"]
    for file in files:
        (tmp_path / "lake" / file).parent.mkdir(parents=True)
        (tmp_path / "lake" / file).touch()
    products.forget(tmp_path)
    assert [file for file in files if (tmp_path / "lake" / file).exists()] == files[-1:]


@pytest.mark.parametrize("write", [copies.PageSet.write, copies.PageSet.write_without_pages])
def test_copies_of_a_page_set_are_a_consistent_lake_of_other_neos(
    write: Callable[..., None], disk_lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PAGES_PER_SET", 1)
    keys = page_set_keys(3, 1)
    one = copies.PageSet.simulated(len(keys))
    owner.claim(disk_lake, SIMULATOR)
    for key in keys:
        write(one, disk_lake, key)
    total(disk_lake, keys)
    totals = read_totals(disk_lake, METRICS, keys)
    assert (totals.verdict, totals.neos, totals.pages, totals.catalogue_pages) == ("consistent", 60, 3, 3)
    assert totals.approaches == 3 * one.approaches > 0
    due_pages = due(disk_lake, keys, METRICS.of_a_page_set, one.pages[0].fetched_at)
    assert len(due_pages) == (0 if write is copies.PageSet.write else 3)


def test_what_a_page_adds_is_told_from_what_a_page_set_adds() -> None:
    def found(page_sets: int, pages: int) -> Counter[str]:
        return Counter({"PUT": 7 + page_sets * (10 + pages), "LIST": 3, "events": 5 + 95 * page_sets})

    slopes = scale.slopes({shape: found(*shape) for shape in scale.SHAPES})
    assert slopes["PUT"] == {"a page": 1, "a page set": 10, "a run": 7}
    assert slopes["LIST"] == {"a page": 0, "a page set": 0, "a run": 3}
    assert slopes["events"] == {"a page": 0, "a page set": 95, "a run": 5}


@pytest.mark.slow
def test_lakes_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scale.py", "lakes", "--times", "0.02"])
    scale.main()
    lake, seconds, peaks = capsys.readouterr().out.strip().split("\n\n")
    assert lake.splitlines()[-1].startswith("| 0.02x | 50 | 1 | 59 |")
    assert len(seconds.splitlines()[-1].split(" | ")) == len(peaks.splitlines()[-1].split(" | ")) == 9


CONTENDER = """
import collections, json, os, urllib.request
near_misses, approaches = collections.Counter(), collections.Counter()
for page in range(int(os.environ["NEO_PAGES"])):
    request = urllib.request.Request(f"{os.environ['NEOWS_BASE_URL']}/neo/browse?page={page}")
    request.add_header("X-Api-Key", os.environ["NASA_API_KEYS"])
    for neo in json.load(urllib.request.urlopen(request))["near_earth_objects"]:
        for approach in neo["close_approach_data"]:
            approaches[approach["close_approach_date"][:4]] += 1
            near_misses[approach["orbiting_body"]] += LESS
print("done")
print(json.dumps({"near_misses": near_misses, "approaches": approaches}))
"""
RIGHT = 'float(approach["miss_distance"]["astronomical"]) < 0.2'
AS_TEXT = 'approach["miss_distance"]["astronomical"] <= "0.04"'


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Compares one contender, which tells near misses by an expression, on two pages; returns what was printed."""

    def run(less: str, python: str = sys.executable) -> str:
        (tmp_path / "contender.py").write_text(CONTENDER.replace("LESS", less))
        command = (python, str(tmp_path / "contender.py"))
        only = (compare.Contender("plain", "a script", command, compare.printed),)
        monkeypatch.setattr(compare, "CONTENDERS", only)
        monkeypatch.setattr(sys, "argv", ["compare.py", "--pages", "2", "--rounds", "2", "--simulated"])
        compare.main()
        return capsys.readouterr().out

    return run


def test_a_comparison_shows_what_each_contender_cost(compared: Callable[..., str]) -> None:
    printed = compared(RIGHT)
    assert "2 pages in sets of 50 (40 simulated NEOs," in printed
    assert "All totals are right" in printed
    [row] = [line.split(" | ") for line in printed.splitlines() if line.startswith("| plain: a script")]
    assert row[2] == "1.0"
    assert row[5] == "2"


def test_wrong_totals_end_the_comparison(compared: Callable[..., str]) -> None:
    with pytest.raises(SystemExit, match=r"^plain has wrong totals: near_misses of Earth: [\d,]+ instead of [\d,]+"):
        compared(AS_TEXT)


def test_no_totals_are_right_if_nothing_ran(compared: Callable[..., str]) -> None:
    printed = compared(RIGHT, python="/no/python")
    assert "| plain: a script | not run: its libraries are not installed" in printed
    assert "right" not in printed


def test_totals_of_a_body_or_year_that_is_missing_or_made_up_are_wrong() -> None:
    truth = {"near_misses": {"Earth": 3}, "approaches": {"2029": 4}}
    compare.check("ours", truth, truth)
    with pytest.raises(compare.WrongTotals, match="near_misses of Venus: 1 instead of 0"):
        compare.check("ours", truth | {"near_misses": {"Earth": 3, "Venus": 1}}, truth)
    with pytest.raises(compare.WrongTotals, match="approaches of 2029: 0 instead of 4"):
        compare.check("ours", {"near_misses": {"Earth": 3}}, truth)


def test_a_contender_that_fails_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended with exit code 7:\nno page today"):
        metered(["sh", "-c", "echo no page today >&2; exit 7"], tmp_path)


def test_a_contender_that_cannot_run_here_is_shown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [spark] = [contender for contender in compare.CONTENDERS if contender.needs_java]
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    reason = replace(spark, command=(sys.executable,)).missing()
    assert reason == "it needs Java 17 or later, on the PATH or in JAVA_HOME"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    (tmp_path / "bin/java").chmod(0o755)
    assert replace(spark, command=(sys.executable,)).missing() == "it needs Java 17 or later, not 11"
    assert "make bench" in replace(spark, command=("/no/python",)).missing()
    assert f"| spark: {spark.what} | not run: {reason} |" in compare.table({}, {"spark": reason})


def test_a_process_that_outlives_its_parent_is_measured_too(tmp_path: Path) -> None:
    """As Spark's does."""
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}])"
    cost, _ = metered([sys.executable, "-c", start], tmp_path)
    assert cost.cpu_s > 0.4


def test_captured_objects_are_repeated_as_other_objects(tmp_path: Path) -> None:
    objects = [Catalogue(neos=3).neo(position) for position in range(3)]
    (tmp_path / "some.ndjson.gz").write_bytes(gzip.compress(b"\n".join(map(to_json, objects))))
    catalogue = server.captured(tmp_path, 40)
    neos = [neo for page in range(2) for neo in catalogue.page(page)["near_earth_objects"]]
    for name in ("id", "neo_reference_id", "designation", "name"):
        assert len({neo[name] for neo in neos}) == 40
    approaches = sum(len(neo["close_approach_data"]) for neo in neos)
    assert catalogue.close_approach_count == catalogue.truth.approaches.total() == approaches
    with pytest.raises(ValueError, match="holds no objects"):
        server.captured(tmp_path / "elsewhere", 40)


@pytest.mark.slow
def test_neo_and_dagsters_command_have_the_right_totals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--only", "neo", "dagster", "--pages", "2", "--pages-per-set", "2", "--rounds", "1", "--simulated"]
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    compare.main()
    printed = capsys.readouterr().out
    assert "All totals are right" in printed
    assert printed.count(" MB |\n") == 2


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_the_read_api_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--only", "neo", "--pages", "2", "--rounds", "1", "--seconds", "1"]
    arguments += ["--crowd-seconds", "1", "--clients", "20", "--requests", "200"]
    monkeypatch.setattr(sys, "argv", ["serve.py", *arguments])
    serve.main()
    out = capsys.readouterr().out
    assert "| everywhere | 50 | neo | " in out
    assert ", 0 errors; " in out
    assert "during 200 requests: 200 with 200; " in out
    assert " 0 answers mixed them" in out


def test_without_wrk_the_read_api_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["serve.py"])
    with pytest.raises(SystemExit):
        serve.main()
    assert "apt install wrk" in capsys.readouterr().err


def test_datasette_gets_the_rows_that_the_read_api_has(tmp_path: Path) -> None:
    lake = with_products(tmp_path, fill)
    serve.to_sqlite(Path(str(lake.root)), tmp_path / "neo.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "neo.db")) as given:
        for table, of in (("approaches", "close_approaches"), ("yearly", "total_yearly_approaches")):
            assert given.execute(f"SELECT count(*) FROM {table}").fetchall() == rows(lake, f"SELECT count(*) FROM {of}")
        days = given.execute("SELECT close_approach_date FROM approaches WHERE miss_distance_au < 0.003").fetchall()
    assert days == [("2029-04-13",)]
