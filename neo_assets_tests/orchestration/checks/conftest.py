"""What tests of checks share. Each module has a lake without fault of its own, `right`."""

from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.orchestration.checks.corrupting import Corrupted, copied


@pytest.fixture
def lake_of(right: Storage, tmp_path: Path) -> Corrupted:
    """A copy of the lake without fault, to be spoilt."""
    return copied(right, tmp_path)
