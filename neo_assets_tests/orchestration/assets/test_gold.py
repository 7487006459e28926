"""Counts and totals as assets: errors in one line, and the metadata of a total."""

from base64 import b64decode
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pytest

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets_tests.conftest import Served
from neo_assets_tests.orchestration.assets.graph import FIRST, SECOND, Graph, at, failure, metadata
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.pipeline.metrics.test_registry import FAST
from neo_assets_tests.settings import settings_of


@pytest.mark.parametrize("count", ["near_miss_count", "yearly_approaches"])
def test_a_damaged_table_is_reported_in_one_line(lake: Storage, served: Served, count: str) -> None:
    graph, page_set = Graph(lake, at(served)), "00000-00001"
    assert graph.run("raw_pages,neo_records,close_approaches", page_set).success
    whole = lake.read(file := layout.table_file(CLOSE_APPROACHES, page_set)).to_pybytes()
    lake.write(file, whole[:50] + bytes(400) + whole[450:])
    message = failure(graph.run(count, page_set))
    assert message.startswith(f"{lake.location(file)} is damaged (")
    way_out = f": run `neo run`, which makes it again, or materialize close_approaches for page set {page_set}"
    assert message.endswith(way_out)


@pytest.mark.slow
def test_a_total_shows_how_many_page_sets_it_covers(lake: Storage, served: Served) -> None:
    graph = Graph(lake, at(served))
    select = "raw_pages,neo_records,close_approaches,near_miss_count,yearly_approaches"
    for page_sets, keys in (("1 of 2", [FIRST]), ("2 of 2", [FIRST, SECOND])):
        for key in keys:
            assert graph.run(select, key).success
        assert metadata(graph.run("total_near_misses"))["total_near_misses", None]["page sets"] == page_sets


@pytest.mark.slow
def test_totals_carry_a_chart_and_their_first_rows(lake: Storage, served: Served) -> None:
    graph = Graph(lake, at(served))
    assert graph.run("raw_pages,neo_records,close_approaches,near_miss_count,yearly_approaches", FIRST).success
    of = metadata(graph.run("total_near_misses,total_yearly_approaches"))
    near_misses, years = of["total_near_misses", None], of["total_yearly_approaches", None]
    assert near_misses["chart"].startswith("![Near misses per orbiting body, ")
    assert years["chart"].startswith("![Approaches per year, 1900 to 2200; most in ")
    image = years["chart"].partition("base64,")[2].removesuffix(")")
    assert b64decode(image).startswith(b"<svg ")
    assert [name for name in years if name in {"chart", "first rows", "file"}] == ["chart", "first rows", "file"]
    assert len(years["first rows"].records) == 10
    assert years["first rows"].records[0].data["year"] == 1900


def test_metrics_of_the_whole_catalogue_are_computed_in_one_step(lake: Storage, served: Served) -> None:
    graph = Graph(lake, at(served))
    assert failure(graph.run("total_first_observations")).endswith(
        "holds no NEOs yet: run `neo run`, or materialize page sets first"
    )
    assert graph.run("raw_pages,neo_records,close_approaches,orbits", FIRST).success
    names = [metric.total.name for metric in METRICS.over_catalogue]
    ended = graph.run(",".join(names))
    assert [event.step_key for event in ended.get_step_success_events()] == ["over_catalogue"]
    found = metadata(ended)
    assert found.keys() == {(name, None) for name in names}
    assert {name for name, _ in found if not found[name, None]["dagster/row_count"]} <= {"total_lunar_distance_passes"}
    charts = {name for name, _ in found if "chart" in found[name, None]}
    assert charts == {metric.total.name for metric in METRICS.over_catalogue if metric.adds_up == "sum"}
    assert metadata(graph.run(names[0])).keys() == {(names[0], None)}


def test_a_metric_of_ones_own_is_computed_totalled_and_checked(tmp_path: Path) -> None:
    (tmp_path / "fast_approaches.sql").write_text(FAST)
    given = settings_of(pages=2, pages_per_set=1, lake=str(tmp_path / "lake"), metrics=tmp_path)
    instance = dg.DagsterInstance.ephemeral(str(tmp_path / "state"))
    defs = build_defs(given)
    graph = defs.resolve_asset_graph()
    assert graph.get(dg.AssetKey("fast_approaches")).parent_keys == {dg.AssetKey("close_approaches")}
    verdicts: list[dg.AssetCheckEvaluation] = []
    for page_set in (*given.page_sets, None):
        job = defs.resolve_job_def("page_set" if page_set else "totals")
        result = job.execute_in_process(partition_key=page_set, instance=instance)
        verdicts += result.get_asset_check_evaluations()
    of_metric = [check for check in verdicts if "fast" in check.asset_key.to_user_string()]
    assert {check.check_name for check in of_metric} == {
        *("rows_fit_the_schema", "recount_of_fast_approaches", "each_neo_counts_once", "every_page_set_is_counted")
    }
    assert all(check.passed for check in of_metric)
    lake, tables_ = Storage(given.lake), Metrics.of(given).tables
    approaches = tables.read_page_sets(lake, CLOSE_APPROACHES, given.page_sets)
    fast = pc.sum(pc.greater(approaches["relative_velocity_km_s"], 20)).as_py()
    assert pc.sum(tables.read_table(lake, tables_["total_fast_approaches"])["approaches"]).as_py() == fast > 0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("GROUP BY", "GRUP BY", "fast_approaches.sql: Parser Error: "),
        ("AS approaches", "AS number", "fast_approaches.sql gives other rows than its header says: "),
    ],
)
def test_wrong_sql_is_one_line_that_names_its_file(
    tmp_path: Path, served: Served, before: str, after: str, said: str
) -> None:
    (tmp_path / "fast_approaches.sql").write_text(FAST.replace(before, after))
    given = settings_of(pages=1, pages_per_set=1, lake=str(tmp_path / "lake"), metrics=tmp_path)
    job, [page_set] = build_defs(given).resolve_job_def("page_set"), given.page_sets
    result = job.execute_in_process(
        partition_key=page_set, instance=dg.DagsterInstance.ephemeral(str(tmp_path / "state")), raise_on_error=False
    )
    assert failure(result).startswith(said)
    assert "\n" not in failure(result)
