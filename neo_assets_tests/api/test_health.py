"""Whether the API is ready, and why not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neo_assets.api import snapshots
from neo_assets.lake.storage import Storage
from neo_assets.products.database import DATABASE
from neo_assets_tests.api.conftest import client_of
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr(snapshots, "_LOOK_EVERY_S", 0.0)
    return with_products(tmp_path, fill_from_simulator)


@pytest.fixture
def client(lake: Storage) -> Iterator[httpx.Client]:
    with client_of(lake) as client:
        yield client


def database(lake: Storage) -> Path:
    return Path(lake.location(f"products/{DATABASE}"))


def reasons(client: httpx.Client) -> list[str]:
    """Why it is degraded; it serves meanwhile."""
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert client.get("/v1/neos").status_code == 200
    assert "\nneo_api_degraded 1.0\n" in client.get("/metrics").text
    found: list[str] = answer.json()["reasons"]
    return found


def test_it_is_ready_while_the_stored_database_is_served(client: httpx.Client) -> None:
    ready = client.get("/health/ready").json()
    assert ready == {"status": "ready", "snapshot": ready["snapshot"], "reasons": []}
    assert ready["snapshot"] == client.get("/v1/neos").json()["signature"]["snapshot"]


def test_it_is_degraded_while_the_database_is_gone_and_ready_when_it_is_back(
    client: httpx.Client, lake: Storage
) -> None:
    before = client.get("/health/ready").json()
    aside = database(lake).rename(database(lake).with_name("aside"))
    assert "is gone" in reasons(client)[0]
    aside.rename(database(lake))
    assert client.get("/health/ready").json() == before


def test_it_is_degraded_as_long_as_the_database_is_damaged(client: httpx.Client, lake: Storage) -> None:
    before, content = client.get("/health/ready").json(), database(lake).read_bytes()
    database(lake).write_bytes(b"no database")
    for _ in range(2):  # it is not tried again, and the reason stays
        assert "is damaged" in reasons(client)[0]
    database(lake).write_bytes(content)
    assert client.get("/health/ready").json() == before


def test_it_is_degraded_while_the_lake_cannot_be_read(
    client: httpx.Client, lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = client.get("/health/ready").json()
    products = database(lake).parent
    shutil.move(products, products.with_name("aside"))
    products.write_text("no directory")
    [reason] = reasons(client)
    assert str(lake.root) not in reason
    products.unlink()
    shutil.move(products.with_name("aside"), products)
    assert client.get("/health/ready").json() == before


def test_without_a_snapshot_the_reason_is_told(tmp_path: Path, lake: Storage) -> None:
    database(lake).write_bytes(b"no database")
    for at, reason in ((Storage(str(tmp_path / "empty")), "no database yet"), (lake, "is damaged")):
        with client_of(at) as client:
            answer = client.get("/health/ready")
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert reason in answer.json()["detail"]
        assert answer.headers["Retry-After"]
