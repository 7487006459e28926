"""The database of requests: whoever asks is told in one line if it is gone, damaged or busy."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from neo_assets.lake.storage import Storage
from neo_assets.products.requests import FILE, Requests
from neo_assets.products.requests_database import RequestsUnusable
from neo_assets_tests.integration.harness import nobody_at
from neo_assets_tests.postgres_server import PASSWORD
from neo_assets_tests.products.test_requests import LAKE, order
from neo_assets_tests.settings import settings_of


def test_a_server_that_is_gone_is_told_in_one_line_without_the_password() -> None:
    with nobody_at() as nobody:
        url = SecretStr(f"postgresql://ada:{PASSWORD}@{nobody}/neo")
        with (
            Requests.of(settings_of(postgres_url=url), Storage(LAKE)) as requests,
            pytest.raises(RequestsUnusable) as told,
        ):
            requests.order(order())
    assert f"the requests in {nobody}/neo cannot be used (" in str(told.value)
    assert PASSWORD not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with (
        Requests.of(settings_of(dagster_home=tmp_path), Storage(LAKE)) as requests,
        pytest.raises(RequestsUnusable, match="file is not a database"),
    ):
        requests.those()
