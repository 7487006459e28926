"""The storage seam: every test of a lake runs on disk and on S3."""

import pytest

from neo_assets_tests.conftest import DISK_AND_S3


@pytest.fixture(params=DISK_AND_S3)
def lake_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
