"""The application that each process of `neo serve` runs: the API, and what it shows of Dagster's runs. What it answers
is decided in `api`.
"""

import gc
from collections.abc import Sequence
from functools import cache

from fastapi import FastAPI

from neo_assets.api.app import create_app
from neo_assets.api.state import Run, RunsUnderWay
from neo_assets.cli.importing import without_collection
from neo_assets.cli.workers import end_with_parent
from neo_assets.lake.storage import Storage
from neo_assets.logs import as_json
from neo_assets.settings import Settings


def from_settings() -> FastAPI:
    """The API of the settings, for servers that start it by its name, each worker in a process of its own."""
    end_with_parent()
    settings = Settings.load()
    if settings.log == "json":
        as_json()
    lake = Storage(settings.lake)

    @cache
    def under_way() -> RunsUnderWay:
        with without_collection():
            from neo_assets.orchestration.under_way import UnderWay  # loads Dagster, which takes seconds
        return UnderWay(settings.dagster_home, lake)

    def runs() -> Sequence[Run] | None:
        return under_way()()

    app = create_app(settings, lake=lake, runs=runs)
    gc.freeze()  # searching all that is loaded by now for garbage would hold everyone up for 0.1 s
    return app
