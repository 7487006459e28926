"""Dagster's instance: opening it for `neo`, and ending runs whose process died. Where it keeps its state is decided in
`state`; executing runs does not belong here.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import yaml
from dagster._check import CheckError
from dagster._core.instance import InstanceRef  # the public DagsterInstance.from_config takes no overrides

from neo_assets.lake.state_directory import DEFAULT_HOME
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.audit import audited, record
from neo_assets.orchestration.failures import StateUnusable
from neo_assets.orchestration.state import StateOfLake, check_lake, explained, in_one_line, is_of_lake, one_at_a_time
from neo_assets.orchestration.watchdog import hangs, limits, watched
from neo_assets.sources.neows.source import NeoWs

_OVERRIDES: Any = {
    "telemetry": {"enabled": False},
    # Steps print nothing, so there is no output to capture.
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
}

_ROUNDING_S = 2

_IS_GONE = "The process that executed this run no longer exists."
_HANGS = "The whole process that executes this run hangs: it has made no progress, and has not ended itself."

_GRPC = ".dagster/grpc_info"
"""Tag of a run whose process was started by a code server. Others, which may be stopped in a terminal, are not ours to
kill.
"""

_UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

_RUN, _MACHINE, _PROCESS = (f".dagster/neo_assets/{name}" for name in ("run", "machine", "process"))
"""Tags that name the process executing a run, and the run's id, as a retry copies the tags of its parent run. The UI
hides tags with this prefix.
"""


def open_instance(dagster_home: Path | None, lake: Storage) -> dg.DagsterInstance:
    """Open the instance that `dagster` commands use too: DAGSTER_HOME, else ./dagster.yaml, else data/dagster.

    Args:
        dagster_home: the setting DAGSTER_HOME.
        lake: the lake whose history the instance keeps.

    Raises:
        StateUnusable: its state cannot be used, its `dagster.yaml` is invalid, or it keeps the history of another lake.
    """
    home = _home(dagster_home)
    with explained(home):
        home.mkdir(parents=True, exist_ok=True)
        try:
            ref = reference(dagster_home, lake)
            with one_at_a_time(home) if dagster_home else contextlib.nullcontext():
                instance = dg.DagsterInstance.from_ref(ref)
                check_lake(instance, lake)
        except (dg.DagsterError, yaml.YAMLError, CheckError, ImportError) as error:
            raise StateUnusable(f"{home / 'dagster.yaml'} cannot be used: {in_one_line(error)}") from error
        _end_lost_runs(instance, lake)
    return instance


def reference(dagster_home: Path | None, lake: Storage) -> InstanceRef:
    """What that instance consists of, and where it is kept. Nothing is opened or created.

    Raises:
        DagsterError: its `dagster.yaml` is invalid; so do errors of YAML and `CheckError`.
    """
    home = _home(dagster_home)
    overrides = _OVERRIDES if _is_configured(dagster_home) else _OVERRIDES | _state_of_lake(home)
    return _of_lake(InstanceRef.from_dir(str(home), overrides=overrides), lake)


def tags_of_this_process(run_id: str, longest_idle_s: float) -> dict[str, str]:
    """Tags for a run that this process executes, and that may go that long without progress."""
    process = {_MACHINE: socket.gethostname(), _RUN: run_id, _PROCESS: _identity(psutil.Process())}
    return process | limits(longest_idle_s)


def lake_resource(lake: Storage, neows: NeoWs, longest_idle_s: float) -> dg.ResourceDefinition:
    """The resource `lake`. Before a run or a sensor uses it, it checks whose history the instance keeps, notes which
    process executes the run, and ends lost runs, so they end where only Dagster's own commands or the daemon run too.
    What a run does is recorded in the audit, and a run without progress is ended.

    Args:
        lake: the lake.
        neows: where pages come from; the audit counts the requests that it sends.
        longest_idle_s: how long a run may go without progress.
    """

    def checked(context: dg.InitResourceContext) -> Iterator[Storage]:
        if not context.instance:
            yield lake
            return
        instance, run = context.instance, context.run
        check_lake(instance, lake)
        if run and run.tags.get(_RUN) != run.run_id:
            instance.add_run_tags(run.run_id, tags_of_this_process(run.run_id, longest_idle_s))
        _end_lost_runs(instance, lake)
        if not run:
            yield lake
            return
        with (
            audited(lake, neows, instance, run),
            watched(instance, run, neows.progress, longest_idle_s, lambda: record(lake, instance, run)),
        ):
            yield lake

    return dg.ResourceDefinition(checked, description=f"The lake at {lake.root}")


def _end_lost_runs(instance: dg.DagsterInstance, lake: Storage) -> None:
    """Mark runs as failed whose process was killed, or hangs whole.

    Dagster's run monitoring cannot end those killed: it knows no worker for them, so they would hold a slot in its
    queue for ever. It asks hung processes to end themselves, and its code server then waits for that without end, and
    starts no further run. So if the code server started the process, it is killed before.
    """
    here = {_MACHINE: socket.gethostname()}
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED, tags=here)):
        if run.tags.get(_RUN) != run.run_id:
            continue
        is_running = _is_running(run.tags[_PROCESS])
        if is_running and not hangs(run):
            continue
        now = instance.get_run_by_id(run.run_id)  # it may have ended well in the meantime, and its process with it
        if now and now.status in _UNFINISHED:
            instance.report_run_failed(run, _HANGS if is_running else _IS_GONE)
            record(lake, instance, run)
            if is_running and _GRPC in run.tags:
                with contextlib.suppress(psutil.Error):  # it has just ended, or is another user's
                    psutil.Process(int(run.tags[_PROCESS].split()[0])).kill()


def _is_configured(dagster_home: Path | None) -> bool:
    return bool(dagster_home or Path("dagster.yaml").exists())


def _home(dagster_home: Path | None) -> Path:
    return (dagster_home or Path.cwd()) if _is_configured(dagster_home) else DEFAULT_HOME.absolute()


def _identity(process: psutil.Process) -> str:
    """A process's number, which another one may be given later, and when it started, in seconds since the boot."""
    return f"{process.pid} {process.create_time() - psutil.boot_time():.0f}"


def _is_running(identity: str) -> bool:
    number, started = map(int, identity.split())
    try:
        return abs(int(_identity(psutil.Process(number)).split()[1]) - started) <= _ROUNDING_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's process
        return True


def _of_lake(ref: InstanceRef, lake: Storage) -> InstanceRef:
    """The same reference; if the state belongs to a lake, to this one, whatever NEO_LAKE is."""
    storage = ref.storage_data
    if not is_of_lake(storage):
        return ref
    config = yaml.safe_dump({**storage.config_dict, "lake": lake.root})
    return ref._replace(storage_data=storage._replace(config_yaml=config))


def _state_of_lake(base_dir: Path) -> Any:
    """The part of `dagster.yaml` that keeps the state of lakes apart, for directories without one."""
    storage = {"module": StateOfLake.__module__, "class": StateOfLake.__name__, "config": {"base_dir": str(base_dir)}}
    return {"storage": {"custom": storage}}
