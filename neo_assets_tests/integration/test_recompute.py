"""Every table after raw_pages comes from the lake alone, and the same pages give the same bytes."""

from pathlib import Path

import pyarrow as pa
import pytest

from neo_assets import cli
from neo_assets.partitions import page_sets
from neo_assets.runner import Runner
from neo_assets.settings import Settings


@pytest.fixture
def gathered() -> Settings:
    cli.neo(["run"], standalone_mode=False)
    return Settings.load()


def derived(lake: Path) -> dict[Path, bytes]:
    """The files of every table after raw_pages and its index, by path."""
    files = [path for storey in ("silver", "gold", "quarantine") for path in (lake / storey).rglob("*.parquet")]
    return {path: path.read_bytes() for path in files}


def test_the_tables_rebuild_without_the_network_to_the_same_bytes(gathered: Settings, no_network: None) -> None:
    before = derived(Path(gathered.lake))
    assert len(before) == 5 * 6 + 3
    for path in before:
        path.unlink()
    with Runner(gathered) as runner:
        runner.recompute(page_sets(gathered.pages, gathered.pages_per_set).get_partition_keys())
        runner.total()
    assert derived(Path(gathered.lake)) == before


def test_one_thread_gives_the_same_bytes_as_several(gathered: Settings) -> None:
    before = derived(Path(gathered.lake))
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        with Runner(gathered) as runner:
            runner.recompute(page_sets(gathered.pages, gathered.pages_per_set).get_partition_keys())
            runner.total()
    finally:
        pa.set_cpu_count(threads)
    assert derived(Path(gathered.lake)) == before
