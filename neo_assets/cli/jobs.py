"""Executes jobs of the graph for `neo`, in this process and recorded in Dagster's instance. What to execute, and when,
is decided in `runner`. The only module of the command line that imports Dagster.
"""

import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import click
import dagster as dg
from sqlalchemy.exc import DBAPIError

from neo_assets.cli import stopping
from neo_assets.definitions import build_defs
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.audit import COMMAND, figures_of
from neo_assets.orchestration.automation import recompute_of
from neo_assets.orchestration.instance import open_instance, tags_of_this_process
from neo_assets.orchestration.requests import COLLECT, REPORT, config_of, give_back_lost
from neo_assets.orchestration.state import place_of, unusable
from neo_assets.products.requests import Request, Requests
from neo_assets.settings import Settings
from neo_assets.sources.neows.source import NeoWs

Instance = dg.DagsterInstance
"""Named here, so that `runner` needs no import of Dagster, not even for its types."""

# Dagster logs each step to its instance, where the UI shows it, not to the terminal.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Jobs:
    """The jobs of the code location, executed one at a time."""

    def __init__(
        self, settings: Settings, lake: Storage, neows: NeoWs, instance: dg.DagsterInstance | None = None
    ) -> None:
        """
        Args:
            settings: the settings.
            lake: the lake that the jobs read and write.
            neows: where they fetch pages from.
            instance: used instead of the Dagster instance that the settings name; it is not closed.
        """
        self._settings = settings
        self._lake = lake
        self._defs = build_defs(settings, lake=lake, neows=neows)
        self._given = instance

    @cached_property
    def _instance(self) -> dg.DagsterInstance:
        """Opened when the first job runs, so that a command without one leaves nothing behind."""
        return self._given or open_instance(self._settings.dagster_home, self._lake)

    def execute(self, job: str, page_set: str | None = None, config: Mapping[str, Any] | None = None) -> list[str]:
        """Run a job. Raises the error behind a failed step, not Dagster's wrapper around it.

        Returns:
            A line for each asset check that failed.
        """
        run_id = str(uuid.uuid4())
        try:
            result = self._defs.resolve_job_def(job).execute_in_process(
                {**_QUIET, **(config or {})},
                self._instance,
                page_set,
                run_id=run_id,
                tags=tags_of_this_process(run_id, self._settings.longest_idle_s) | _tags_of_this_command(),
            )
        except dg.Failure as failure:
            raise failure.__cause__ or failure from None
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except DBAPIError as error:
            raise unusable(place_of(self._instance, self._lake), error.orig) from error
        if stopping.was_pressed():  # Dagster forgets a Ctrl-C between a run's last step and its end
            raise KeyboardInterrupt
        return [
            f"{check.severity.value}: {check.asset_key.to_user_string()} {check.check_name}: {figures_of(check)}"
            for check in result.get_asset_check_evaluations()
            if not check.passed
        ]

    def recompute(self, page_set: str) -> list[str]:
        """Compute a page set, or the landed objects, from their stored pages. Returns and raises like `execute`."""
        how = recompute_of(page_set)
        return self.execute(how.job, how.partition_key)

    def give_back_lost(self, requests: Requests) -> list[Request]:
        """Give back requests for reports whose run has died. Raises RequestsUnusable."""
        return give_back_lost(requests, self._instance)

    def make_report(self, request: Request) -> None:
        """Make the report of a request, unless another process does. Raises like `execute`."""
        self.execute(REPORT, config=config_of(request))

    def collect_reports(self) -> None:
        """Move the reports that were made to `reports/`. Raises like `execute`."""
        self.execute(COLLECT)

    def close(self) -> None:
        """Close the instance if it was opened here."""
        if not self._given and "_instance" in vars(self):
            self._instance.dispose()


def _tags_of_this_command() -> dict[str, str]:
    """The command that the user gave, for the audit; none in other programs."""
    context = click.get_current_context(silent=True)
    if not context:
        return {}
    program = context.find_root().info_name or ""
    return {COMMAND: f"neo{context.command_path.removeprefix(program)}"}
