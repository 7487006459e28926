"""A metric is one `.sql` file: what its header may say, and what is said of a wrong one."""

from pathlib import Path

import duckdb
import pytest

from neo_assets.pipeline.metrics import registry
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import BUILT_IN, read_metrics
from neo_assets.products.views import views
from neo_assets.settings import SettingsError
from neo_assets_tests.settings import settings_of

FAST = """/*
name: fast_approaches
description: Close approaches faster than 20 km/s, per orbiting body.
reads:
  close_approaches: [orbiting_body, relative_velocity_km_s]
grain:
  orbiting_body: {type: string, description: The body approached.}
numbers:
  approaches: {type: int64, unit: approaches, description: Number of them.}
adds_up: sum
parameters: {fast_km_s: 20}
*/
SELECT orbiting_body, count(*) AS approaches
FROM close_approaches
WHERE relative_velocity_km_s > $fast_km_s
GROUP BY orbiting_body
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one metric."""
    (tmp_path / "fast_approaches.sql").write_text(FAST)
    (tmp_path / "notes.txt").write_text("no metric")
    return tmp_path


def test_a_header_says_all_that_is_known(folder: Path) -> None:
    [fast] = read_metrics(folder)
    assert fast.sql.startswith("SELECT orbiting_body, count(*)")
    assert (fast.parameters, fast.adds_up, fast.grain, fast.numbers) == (
        {"fast_km_s": 20},
        "sum",
        ["orbiting_body"],
        ["approaches"],
    )
    assert fast.reads == {"close_approaches": ["neo_id", "orbiting_body", "relative_velocity_km_s"]}
    assert fast.counts
    assert (fast.counts.name, fast.total.name) == ("fast_approaches", "total_fast_approaches")
    assert (fast.counts.partitioned, fast.total.partitioned) == (True, False)
    assert fast.total.schema.equals(fast.counts.schema, check_metadata=True)
    assert fast.counts.description == "Close approaches faster than 20 km/s, per orbiting body. Of one page set."
    assert fast.total.schema.field("approaches").metadata[b"unit"] == b"approaches"


def test_a_metric_that_does_not_add_up_has_a_total_only(folder: Path) -> None:
    (folder / "fast_approaches.sql").write_text(FAST.replace("adds_up: sum", "adds_up: never"))
    [fast] = read_metrics(folder)
    assert fast.counts is None
    assert fast.tables == [fast.total]


def test_a_metric_that_adds_up_may_do_without_a_table_for_page_sets(folder: Path) -> None:
    (folder / "fast_approaches.sql").write_text(FAST.replace("adds_up: sum", "adds_up: sum\nof_page_sets: false"))
    metrics = Metrics.of(settings_of(metrics=folder))
    fast = metrics.of_table["total_fast_approaches"]
    assert (fast.counts, fast.adds_up) == (None, "sum")
    assert fast in metrics.over_catalogue
    assert fast.total not in metrics.totals


def test_ones_own_metrics_come_after_those_built_in(folder: Path) -> None:
    metrics = Metrics.of(settings_of(metrics=folder))
    assert [metric.name for metric in metrics.each] == [*(metric.name for metric in BUILT_IN), "fast_approaches"]
    assert metrics.tables["total_fast_approaches"] is metrics.of_table["fast_approaches"].total
    assert Metrics.of(settings_of()).each == BUILT_IN


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("/*", "--", "does not begin with a header between /* and */"),
        ("name: fast_approaches", "name: [", "is not YAML"),
        ("name: fast_approaches", "name: other", "names another metric, other"),
        ("name: fast_approaches\n", "", "name: Field required"),
        ("adds_up: sum", "adds_up: mean", "adds_up: Input should be 'sum', 'least' or 'never'"),
        ("adds_up: sum", "adds_up: sum\nunits: km", "units: Extra inputs are not permitted"),
        ("  orbiting_body: {", "  orbiting body: {", "grain.orbiting body"),
        ("  approaches: {", "  Approaches: {", "numbers.Approaches"),
        (
            "grain:\n  orbiting_body: {type: string, description: The body approached.}",
            "grain: {}",
            "grain: Dictionary should have at least 1 item",
        ),
        ("type: int64", "type: integer", "numbers.approaches.type: Input should be"),
        ("relative_velocity_km_s]", "velocity]", "close_approaches has no column velocity"),
        ("  close_approaches:", "  raw_pages:", "reads.raw_pages"),
        (
            "> $fast_km_s",
            "> $fast_km_s AND close_approach_at < $newest_page_at",
            "uses $newest_page_at, which no page set knows",
        ),
        ("{fast_km_s: 20}", "{fast_km_s: 20, slow_km_s: 5}", "slow_km_s, which the SQL does not take from there"),
        ("> $fast_km_s", "> 20", "fast_km_s, which the SQL does not take from there: use $fast_km_s, or leave it out"),
        ("> $fast_km_s", "> 20 -- $fast_km_s", "fast_km_s, which the SQL does not take from there"),
        (
            "adds_up: sum\nparameters: {",
            "adds_up: never\nparameters: {newest_page_at: 1, ",
            "newest_page_at, which the SQL",
        ),
        ("> $fast_km_s", "> $fast_km_s AND neo_id <> $neo", "$neo, which its header does not give: add it to"),
        ("parameters: {fast_km_s: 20}\n", "", "$fast_km_s, which its header does not give: add it to `parameters`"),
    ],
)
def test_a_wrong_header_is_one_line_that_names_the_file(folder: Path, before: str, after: str, said: str) -> None:
    file = folder / "fast_approaches.sql"
    assert before in FAST
    file.write_text(FAST.replace(before, after, 1))
    with pytest.raises(SettingsError) as error:
        read_metrics(folder)
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert str(error.value).startswith("NEO_METRICS: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        *(metric.sql for metric in BUILT_IN),
        "SELECT $_a1, $ab > $é, -$ab, ($c)",
        "SELECT 'it''s $a', E'it\\'s $b', $$ $c $$, $x$ $d $$ $x$, a$e, 'f' FROM t WHERE g = $h",
        'SELECT "$a", """$b" /* $c\n\'$d */ + $e -- \'$f\n - $g -- $h',
        "SELECT 7 - 5 / 2 * $a --",
    ],
)
def test_a_querys_parameters_are_those_that_duckdb_finds(sql: str) -> None:
    [statement] = duckdb.extract_statements(sql)
    assert registry.parameters_of(sql) == statement.named_parameters


def test_parameters_get_a_colon_where_they_are_parameters() -> None:
    sql = "SELECT '$a', \"$a\", $a + $b_1 -- $a\nFROM t /* $a */ WHERE c$a = ':a' AND $a < 1"
    expected = "SELECT '$a', \"$a\", :a + :b_1 -- $a\nFROM t /* $a */ WHERE c$a = ':a' AND :a < 1"
    assert registry.with_colons(sql) == expected


@pytest.mark.parametrize("name", ["near_miss_count", "total_near_misses", "neo_records", "neos", "hazardous"])
def test_no_table_or_view_can_be_replaced(folder: Path, name: str) -> None:
    (folder / "fast_approaches.sql").unlink()
    (folder / f"{name}.sql").write_text(FAST.replace("fast_approaches", name))
    with pytest.raises(SettingsError, match=f"another table or view has the name {name}"):
        registry.of_one_s_own(folder)


@pytest.mark.parametrize("name", ["neos", "snapshot", "dictionary", *views()])
def test_no_total_can_have_the_name_of_a_table_or_view_of_the_database(folder: Path, name: str) -> None:
    file = folder / "fast_approaches.sql"
    file.write_text(FAST.replace("adds_up: sum", f"adds_up: sum\ntotal: {name}"))
    with pytest.raises(SettingsError, match=f"another table or view has the name {name}$") as error:
        registry.of_one_s_own(folder)
    assert str(file) in str(error.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"NEO_METRICS: .*nowhere cannot be read \(No such file"):
        Metrics.of(settings_of(metrics=tmp_path / "nowhere"))
