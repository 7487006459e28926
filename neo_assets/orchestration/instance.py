"""Dagster's instance for runs of `neo`: where it keeps its state, and how runs whose process died are ended. Executing
runs does not belong here.
"""

import os
import socket
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef  # the public DagsterInstance.from_config takes no overrides
from sqlalchemy.exc import DBAPIError

from neo_assets.lake.disk import is_alive
from neo_assets.orchestration.failures import StateUnwritable

_DEFAULT_HOME = Path("data/dagster")
_OVERRIDES: Any = {
    "telemetry": {"enabled": False},
    # Steps print nothing, so there is no output to capture.
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
}

_UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

_RUN, _MACHINE, _PROCESS = "neo_assets/run", "neo_assets/machine", "neo_assets/process"
"""Tags that name the process executing a run, and the run's id, as a retry copies the tags of its parent run."""


def open_instance(dagster_home: Path | None) -> dg.DagsterInstance:
    """Open the instance that `dagster` commands use too: DAGSTER_HOME, else ./dagster.yaml, else data/dagster.

    Raises:
        StateUnwritable: its state cannot be read or written.
    """
    home = dagster_home or (Path.cwd() if Path("dagster.yaml").exists() else _DEFAULT_HOME.absolute())
    try:
        home.mkdir(parents=True, exist_ok=True)
        instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_OVERRIDES))
        _end_runs_of_the_dead(instance)
        return instance
    except OSError as error:
        raise _unwritable(home, error.strerror) from error
    except DBAPIError as error:
        raise _unwritable(home, error.orig) from error


def tags_of_this_process(run_id: str) -> dict[str, str]:
    """Tags for a run that this process executes."""
    return {_MACHINE: socket.gethostname(), _RUN: run_id, _PROCESS: str(os.getpid())}


def state_unwritable(instance: dg.DagsterInstance, error: DBAPIError) -> StateUnwritable:
    """The error to raise when Dagster's database fails."""
    return _unwritable(Path(instance.root_directory), error.orig)


def _end_runs_of_the_dead(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process was killed.

    Dagster's run monitoring cannot: it knows no worker for them, so they would hold a slot in its queue for ever.
    """
    here = {_MACHINE: socket.gethostname()}
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED, tags=here)):
        if run.tags.get(_RUN) == run.run_id and not is_alive(int(run.tags[_PROCESS])):
            instance.report_run_failed(run, "The process that executed this run no longer exists.")


def _unwritable(home: Path, why: object) -> StateUnwritable:
    return StateUnwritable(
        f"Dagster's state in {home} cannot be read or written ({why}). Free some disk space, check the permissions, "
        "or set DAGSTER_HOME to another directory"
    )
