"""The Makefile, run on a virtual environment of stubs, so that nothing is installed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from neo_assets_tests.integration.harness import PATIENCE_S

CHECKOUT = Path(__file__).parents[1]

WAITING = "#!/bin/sh\ntrap 'exit 130' INT\necho started\nwhile :; do sleep 0.05; done\n"
"""A program that ends on Ctrl-C as `neo` does."""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment that is set up, as far as make can see."""
    (tmp_path / "bin").mkdir()
    return tmp_path


def stub(venv: Path, name: str, script: str) -> None:
    program = venv / "bin" / name
    program.write_text(script)
    program.chmod(0o755)


def make(venv: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start make in a process group of its own, as a shell does."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", "make", "-o", f"{venv}/.installed", f"VENV={venv}", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(("target", "program"), [("run", "neo"), ("dev", "dagster")])
def test_ctrl_c_is_no_error(venv: Path, target: str, program: str) -> None:
    stub(venv, program, WAITING)
    with make(venv, target) as started:
        assert started.stdout
        assert started.stdout.readline() == "started\n"
        os.killpg(started.pid, signal.SIGINT)
        _, printed = started.communicate(timeout=PATIENCE_S)
    assert "Error" not in printed
    assert started.returncode == -signal.SIGINT
