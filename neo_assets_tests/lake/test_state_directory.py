"""Where this machine keeps what belongs to a lake but is not in it."""

from pathlib import Path

from neo_assets.lake.state_directory import home_of, state_directory
from neo_assets.lake.storage import Storage


def test_each_lake_has_a_directory_of_its_own() -> None:
    assert state_directory("data/dagster", Storage("data/lake")) == "data/dagster"
    others = {state_directory("data/dagster", Storage(root)) for root in ("s3://bucket/neo", "s3://other/neo", "neo")}
    assert len(others) == 3
    assert all(one.startswith("data/dagster-neo-") for one in others)


def test_dagster_home_goes_before() -> None:
    assert home_of(Path("/home/you/dagster"), Storage("s3://bucket/neo")) == Path("/home/you/dagster")
    assert home_of(None, Storage("data/lake")) == Path.cwd() / "data" / "dagster"
