"""`neo run` on a cluster whose server dies while it computes: one line with the way out, and the next run completes."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from neo_assets.lake import tables
from neo_assets.lake.storage import Storage
from neo_assets.pipeline.count import total
from neo_assets.schema.page_sets import page_set_keys
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.sail import Mortal, mortal_sail

ENDLESS = """/*
name: endless
description: A query that keeps a server busy for hours, per orbiting body.
reads:
  close_approaches: [orbiting_body]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
numbers:
  pairs:
    type: int64
    unit: pairs
    description: Number of pairs.
    above: 0
adds_up: sum
*/
SELECT orbiting_body, count(*) AS pairs
FROM close_approaches, range(1000000) AS one, range(1000000) AS other
WHERE one.id * other.id % 7 = 3
GROUP BY orbiting_body
ORDER BY orbiting_body
"""


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_a_server_that_dies_in_a_query_is_one_line_and_the_next_run_completes(
    neo: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "endless.sql").write_text(ENDLESS)
    with mortal_sail() as sail:
        settings = {"NEO_ENGINE": "spark", "SPARK_REMOTE": sail.address, "NEO_LAKE": tmp_path / "lake"}
        settings |= {"NEO_PAGES": 1, "NEO_PAGES_PER_SET": 1}
        lost = lost_while(sail, lambda: neo("run", **settings, NEO_METRICS=tmp_path))
        assert lost.code == 1
        gathering, line = lost.err.splitlines()
        assert gathering.startswith("Gathering 1 page ")
        assert line.startswith(f"Error: endless.sql: the cluster at {sail.address} does not answer: start its Spark")
        assert line.endswith("or set NEO_ENGINE=duckdb, which needs none")
        sail.start_again()
        after = neo("run", "--strict", **settings)
    assert after.code == 0, after.err
    assert after.err.splitlines()[1:] == ["[1/1] page set 00000-00000: 0 pages fetched, 1 reused"]
    assert "1 of 1 page sets" in after.out
    lake, keys = Storage(str(tmp_path / "lake")), page_set_keys(1, 1)
    for metric in METRICS.adding_up:
        assert tables.read_table(lake, metric.total).to_pylist() == total(METRICS, lake, metric, keys).to_pylist()


def lost_while(sail: Mortal, run: Callable[[], Ended]) -> Ended:
    """Kill the server while something runs that keeps it busy."""
    killing = Thread(target=sail.kill_once_it_has_computed, args=(0.5,))
    killing.start()
    ended = run()
    killing.join()
    return ended
