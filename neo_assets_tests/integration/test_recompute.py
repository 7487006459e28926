"""All tables can be computed from the lake alone, and the same pages give the same bytes."""

import dagster as dg
import pyarrow as pa
import pytest

from neo_assets.cli.runner import Runner
from neo_assets.lake import owner, raw_pages, tables
from neo_assets.lake.storage import Storage
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import RAW_PAGE_INDEX
from neo_assets.settings import Settings
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import pages_from

pytestmark = pytest.mark.slow

SETS = page_set_keys(6, 2)


@pytest.fixture
def gathered(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A lake with the pages of three sets and all tables computed from them."""
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "6")
    owner.claim(lake, "simulator")
    for key in SETS:
        facts = [raw_pages.write_page(lake, page) for page in pages_from(Catalogue(), key)]
        tables.write_table(lake, RAW_PAGE_INDEX, raw_pages.index(facts), key)
    recompute()
    return lake


def derived(lake: Storage) -> dict[str, bytes]:
    """The files of every table except `raw_page_index`, by path."""
    files = [info.path for storey in ("silver", "gold", "quarantine") for info in lake.files(storey)]
    return {path: lake.read(path).to_pybytes() for path in files}


def recompute() -> None:
    with dg.DagsterInstance.ephemeral() as instance, Runner(Settings.load(), instance=instance) as runner:
        runner.recompute(SETS)
        runner.total()


@disk_and_s3
def test_the_tables_rebuild_without_the_network_to_the_same_bytes(gathered: Storage, no_network: None) -> None:
    before = derived(gathered)
    assert len(before) == 3 * 7 + 3
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
