"""Every table after raw_pages comes from the lake alone, and the same pages give the same bytes."""

import pyarrow as pa
import pytest

from neo_assets import cli
from neo_assets.lake.storage import Storage
from neo_assets.partitions import page_sets
from neo_assets.runner import Runner
from neo_assets.settings import Settings


@pytest.fixture
def gathered(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "6")
    cli.neo(["run"], standalone_mode=False)
    return lake


def derived(lake: Storage) -> dict[str, bytes]:
    """The files of every table after raw_pages and its index, by path."""
    files = [info.path for storey in ("silver", "gold", "quarantine") for info in lake.files(storey)]
    return {path: lake.read(path).to_pybytes() for path in files}


def recompute() -> None:
    settings = Settings.load()
    with Runner(settings) as runner:
        runner.recompute(page_sets(settings.pages, settings.pages_per_set).get_partition_keys())
        runner.total()


def test_the_tables_rebuild_without_the_network_to_the_same_bytes(gathered: Storage, no_network: None) -> None:
    before = derived(gathered)
    assert len(before) == 3 * 6 + 3
    for path in before:
        gathered.delete(path)
    recompute()
    assert derived(gathered) == before


def test_one_thread_gives_the_same_bytes_as_several(gathered: Storage) -> None:
    before = derived(gathered)
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        recompute()
    finally:
        pa.set_cpu_count(threads)
    assert derived(gathered) == before
