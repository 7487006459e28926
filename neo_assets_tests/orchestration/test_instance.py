"""Dagster's instance: runs whose process is gone are reported as failed, whatever they were doing."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.orchestration.instance import open_instance, tags_of_this_process

STATUS = dg.DagsterRunStatus
LAKE = Storage("data/lake")


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED])
@pytest.mark.parametrize("alive", [True, False])
def test_a_run_ends_with_its_process(tmp_path: Path, status: dg.DagsterRunStatus, alive: bool) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with open_instance(tmp_path, LAKE) as instance:
        run = dg.DagsterRun("page_set", "12345678-1234-1234-1234-123456789012", status=status)
        tags = tags_of_this_process(run.run_id) | ({} if alive else {"neo_assets/process": str(ended.pid)})
        instance.add_run(run.with_tags(tags))
    with open_instance(tmp_path, LAKE) as instance:
        found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == (status if alive else STATUS.FAILURE)
