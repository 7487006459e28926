"""Dagster's instance: runs whose process is gone are reported as failed, whatever they were doing."""

import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import psutil
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.instance import lake_resource, open_instance, tags_of_this_process
from neo_assets.orchestration.watchdog import limits
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.integration.harness import PATIENCE_S
from neo_assets_tests.settings import settings_of

STATUS = dg.DagsterRunStatus
IDLE_S = 900.0
PROCESS = ".dagster/neo_assets/process"
DEADLINE = ".dagster/neo_assets/deadline"


@pytest.fixture(scope="module")
def another() -> str:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return str(ended.pid)


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> str:
    run = dg.DagsterRun("page_set", "12345678-1234-1234-1234-123456789012", status=status)
    instance.add_run(run.with_tags(tags_of_this_process(run.run_id, IDLE_S) | tags))
    return run.run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED])
@pytest.mark.parametrize("alive", [True, False])
def test_a_run_ends_with_its_process(tmp_path: Path, another: str, status: dg.DagsterRunStatus, alive: bool) -> None:
    with open_instance(tmp_path, Storage("data/lake")) as instance:
        run = add_run(instance, status, **({} if alive else {PROCESS: f"{another} 5"}))
    with open_instance(tmp_path, Storage("data/lake")) as instance:
        assert status_of(instance, run) == (status if alive else STATUS.FAILURE)


def test_a_run_ends_though_its_process_number_is_taken_again(tmp_path: Path) -> None:
    with open_instance(tmp_path, Storage("data/lake")) as instance:
        number, started = tags_of_this_process("", IDLE_S)[PROCESS].split()
        run = add_run(instance, STATUS.STARTED, **{PROCESS: f"{number} {int(started) - 60}"})
    with open_instance(tmp_path, Storage("data/lake")) as instance:
        assert status_of(instance, run) == STATUS.FAILURE


def test_a_run_of_dagsters_own_commands_names_its_process(tmp_path: Path) -> None:
    """So it ends as failed if that is killed, and does not hold a slot in the queue for ever."""

    @dg.op
    def use(lake: dg.ResourceParam[Storage]) -> None:
        pass

    @dg.job(resource_defs={"lake": lake_resource(Storage("data/lake"), NeoWs(settings_of()), IDLE_S)})
    def job() -> None:
        use()

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.get_run_by_id(job.execute_in_process(instance=instance).run_id)
    assert run
    now = tags_of_this_process(run.run_id, IDLE_S)
    then = {tag: run.tags.get(tag, "") for tag in now}
    assert 0 <= float(now.pop(DEADLINE)) - float(then.pop(DEADLINE)) <= PATIENCE_S
    assert then == now


def test_it_ends_where_only_the_daemon_runs_too(tmp_path: Path, another: str) -> None:
    """The sensors use the lake once a minute."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = add_run(instance, STATUS.STARTED, **{PROCESS: f"{another} 5"})
        with dg.build_resources({"lake": lake_resource(Storage("data/lake"), NeoWs(settings_of()), IDLE_S)}, instance):
            assert status_of(instance, run) == STATUS.FAILURE


@pytest.mark.parametrize("by_the_code_server", [True, False])
def test_a_run_whose_process_hangs_is_failed_and_the_process_killed_if_dagster_started_it(
    tmp_path: Path, by_the_code_server: bool
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            started = psutil.Process(process.pid).create_time() - psutil.boot_time()
            tags = {PROCESS: f"{process.pid} {started:.0f}"} | limits(-IDLE_S)
            with open_instance(tmp_path, Storage("data/lake")) as instance:
                grpc = {".dagster/grpc_info": "{}"} if by_the_code_server else {}
                run = add_run(instance, STATUS.STARTED, **tags, **grpc)
            with open_instance(tmp_path, Storage("data/lake")) as instance:
                assert status_of(instance, run) == STATUS.FAILURE
            if by_the_code_server:
                assert process.wait(PATIENCE_S) == -signal.SIGKILL
            assert (process.poll() is None) is not by_the_code_server
        finally:
            process.kill()
