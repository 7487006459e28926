"""A real Spark cluster, of one master and two workers, one of which is killed while the metrics are computed.

It needs Java 17, and Spark 4 with Spark Connect: that of SPARK_HOME, or else the one that `make bench` installs. It is
skipped without them.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import httpx
import psutil
import pyarrow as pa
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.pipeline.catalogue import Catalogue
from neo_assets.pipeline.count import over_catalogue
from neo_assets.pipeline.metrics.contract import EngineUnreachable, Files
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.spark import Spark
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.sources.simulator.catalogue import Catalogue as Simulated
from neo_assets_tests.integration.harness import free_port, wait_until
from neo_assets_tests.pipeline.by_hand import METRICS, gather, pages_from

PAGE_SETS = page_set_keys(6, 2)
START_S = 180
DEPLOY = "org.apache.spark.deploy"


def spark_home() -> Path:
    """Where Spark is installed; skips the test if it is not."""
    if not shutil.which("java"):
        pytest.skip("there is no Java on PATH")
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    for found in Path(sys.prefix).glob("bench/lib/python*/site-packages/pyspark"):
        return found
    pytest.skip("Spark is not installed: set SPARK_HOME, or run `make bench` once")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a cluster's Spark Connect server, and the cluster's workers."""
    home, started = spark_home(), ExitStack()
    environment = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1"}
    environment |= {"PYSPARK_PYTHON": sys.executable, "SPARK_DAEMON_JAVA_OPTS": "-Dspark.master.rest.enabled=false"}

    def start(name: str, *command: str) -> psutil.Process:
        log = started.enter_context((tmp_path / f"{name}.log").open("wb"))
        process = psutil.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.callback(end, process)
        return process

    master, ui, connect = free_port(), free_port(), free_port()
    java, url = str(home / "bin/spark-class"), f"spark://127.0.0.1:{master}"
    with started:
        own = ("--host", "127.0.0.1", "--port", str(master), "--webui-port", str(ui))
        start("master", java, f"{DEPLOY}.master.Master", *own)
        small = ("--host", "127.0.0.1", "--cores", "1", "--memory", "768m", "--webui-port", "0")
        workers = [
            start(name, java, f"{DEPLOY}.worker.Worker", *small, "--work-dir", str(tmp_path / f"of-{name}"), url)
            for name in ("worker-1", "worker-2")
        ]
        wait_until(lambda: alive(ui) == 2, every_s=0.2, patience_s=START_S)
        conf = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": connect,
            "spark.executor.memory": "512m",
            "spark.sql.shuffle.partitions": 4,
            "spark.ui.enabled": "false",
        }
        options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
        server = ("--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal")
        start("connect", str(home / "bin/spark-submit"), "--master", url, *options, *server)
        address = f"sc://127.0.0.1:{connect}"
        wait_until(lambda: answers(address), every_s=0.2, patience_s=START_S)
        yield address, workers


def end(process: psutil.Process) -> None:
    """Kill a process and those that it started."""
    if process.is_running():
        for one in [*process.children(recursive=True), process]:
            one.kill()
    process.wait()


def alive(ui: int) -> int:
    """The number of workers that the master knows."""
    try:
        return int(httpx.get(f"http://127.0.0.1:{ui}/json/").json()["aliveworkers"])
    except httpx.TransportError:
        return 0


def answers(address: str) -> bool:
    try:
        return bool(Spark(address).run("SELECT 1 AS one", {}, {}).num_rows)
    except EngineUnreachable:
        return False


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(cluster: tuple[str, list[psutil.Process]], tmp_path: Path) -> None:
    address, workers = cluster
    lake, catalogue = Storage(str(tmp_path / "lake")), Simulated(120)
    for hours, (page_set, found) in enumerate(zip(PAGE_SETS, (catalogue, *[catalogue.inserted(3)] * 2), strict=True)):
        gather(lake, page_set, pages_from(found, page_set, hours))
    metrics, rows, one_is_there = Metrics(Spark(address)), list[pa.Table](), Event()
    columns = list(CLOSE_APPROACHES.schema.names)
    assert isinstance(Catalogue(lake, metrics, PAGE_SETS).relation(CLOSE_APPROACHES, columns), Files)

    def compute() -> None:
        for table in over_catalogue(metrics, lake, metrics.over_catalogue, PAGE_SETS):
            rows.append(table)
            one_is_there.set()

    computing = Thread(target=compute)
    computing.start()
    assert one_is_there.wait(START_S)
    for process in [workers[0], *workers[0].children(recursive=True)]:
        process.send_signal(signal.SIGKILL)
    assert len(rows) < len(metrics.over_catalogue)
    computing.join()
    assert rows == list(over_catalogue(METRICS, lake, METRICS.over_catalogue, PAGE_SETS))
