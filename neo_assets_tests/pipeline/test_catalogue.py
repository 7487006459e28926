"""The catalogue as a whole has each NEO once, in every table, however the pages have shifted."""

import pytest

from neo_assets.lake.storage import LakeLacks, Storage
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.pipeline.by_hand import METRICS, gather
from neo_assets_tests.sources.neows.examples import approach, neo, page

FIRST, SECOND = "00000-00000", "00001-00001"


def catalogue(lake: Storage) -> Catalogue:
    return Catalogue.whole(lake, METRICS, [FIRST, SECOND])


@disk_and_s3
@pytest.mark.parametrize(("hours", "days"), [(1, ["2001-01-01", "2003-01-01"]), (-1, ["2001-01-01", "2002-01-01"])])
def test_the_copy_fetched_last_counts_in_every_table(lake: Storage, hours: float, days: list[str]) -> None:
    gather(lake, FIRST, [page(neo("1", approach(day="2001-01-01")), neo("2", approach(day="2002-01-01")))])
    gather(lake, SECOND, [page(neo("2", approach(day="2003-01-01")), number=1, hours=hours)])
    whole = catalogue(lake)
    assert whole.rows(NEO_RECORDS)["id"].to_pylist() == ["1", "2"]
    assert whole.rows(ORBITS)["neo_id"].to_pylist() == ["1", "2"]
    approaches = whole.rows(CLOSE_APPROACHES)
    assert list(map(str, approaches["close_approach_date"].to_pylist())) == days
    assert approaches.schema.equals(CLOSE_APPROACHES.schema, check_metadata=False)


def test_some_columns_can_be_read_alone(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1", approach()), neo("2", approach()))])
    gather(lake, SECOND, [page(neo("2", approach()), number=1, hours=1)])
    rows = catalogue(lake).rows(CLOSE_APPROACHES, ["orbiting_body"])
    assert rows.to_pylist() == [{"orbiting_body": "Earth"}] * 2


def test_page_sets_that_are_not_there_are_left_out_and_change_the_state(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1"))])
    before = catalogue(lake)
    assert (before.page_sets, before.rows(NEO_RECORDS).num_rows) == ([FIRST], 1)
    gather(lake, SECOND, [page(neo("2"), number=1)])
    after = catalogue(lake)
    assert after.page_sets == [FIRST, SECOND]
    assert LANDED not in after.page_sets
    assert after.state != before.state


def test_a_table_that_a_page_set_lacks_is_an_error(lake: Storage) -> None:
    gather(lake, FIRST, [page(neo("1"))])
    lake.delete(f"silver/orbits/page_set={FIRST}/data.parquet")
    with pytest.raises(LakeLacks, match="orbits"):
        catalogue(lake).rows(ORBITS)
