"""The Makefile and `.ci/run`, run with stubs of the programs that they start, so that nothing is installed."""

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from neo_assets_tests.integration.harness import HEEDING_CTRL_C, PATIENCE_S, free_port, listening

CHECKOUT = Path(__file__).parents[1]

WAITING = "#!/bin/sh\ntrap 'exit 130' INT\necho started\nwhile :; do sleep 0.05; done\n"
"""A program that ends on Ctrl-C as `neo` does."""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment that is set up, as far as make can see."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    return tmp_path


def stub(place: Path, name: str, script: str) -> None:
    program = place / "bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)


def make(venv: Path, *arguments: str, at: Path = CHECKOUT) -> subprocess.Popen[str]:
    """Start make in a process group of its own, as a shell does."""
    return subprocess.Popen(
        [*HEEDING_CTRL_C, "make", "-f", f"{CHECKOUT}/Makefile", "-o", f"{venv}/.installed", f"VENV={venv}", *arguments],
        cwd=at,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},  # `make test` sets some
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(("target", "program"), [("run", "neo"), ("dev", "dg")])
def test_ctrl_c_is_no_error(venv: Path, target: str, program: str) -> None:
    stub(venv, program, WAITING)
    with make(venv, target, f"PORT={free_port()}") as started:
        assert started.stdout
        assert started.stdout.readline() == "started\n"
        os.killpg(started.pid, signal.SIGINT)
        _, printed = started.communicate(timeout=PATIENCE_S)
    assert "Error" not in printed
    assert started.returncode in (-signal.SIGINT, 2)  # 2 if make learns of the end of the program first


def test_a_taken_port_is_an_error_that_says_so(venv: Path) -> None:
    """Dagster would take another one, and say so among many lines."""
    stub(venv, "dg", "#!/bin/sh\necho started\n")
    with listening() as taken:
        port = taken.getsockname()[1]
        out, err = make(venv, "dev", f"PORT={port}").communicate(timeout=PATIENCE_S)
    assert out == f"Port {port} is not free; name another one, such as: make dev PORT=3001\n"
    assert "Error 1" in err


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "3000x", ""])
def test_what_is_no_port_is_an_error_that_says_so(venv: Path, port: str) -> None:
    stub(venv, "dg", "#!/bin/sh\necho started\n")
    out, err = make(venv, "dev", f"PORT={port}").communicate(timeout=PATIENCE_S)
    assert out == f"PORT={port} is not a number from 1 to 65535; name one, such as: make dev PORT=3001\n"
    assert "Error 1" in err


def test_dagsters_home_is_the_checkout_unless_a_setting_names_another(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(venv, "dg", '#!/bin/sh\necho "$DAGSTER_HOME" "$@"\n')
    here = tmp_path / "here"
    here.mkdir()
    port = free_port()

    def home() -> str:
        out, _ = make(venv, "dev", f"PORT={port}", at=here).communicate(timeout=PATIENCE_S)
        return out.removesuffix(f" dev --port {port}\n")

    assert home() == str(here)
    (here / ".env").write_text("DAGSTER_HOME=/mine\n")
    assert home() == ""
    monkeypatch.setenv("DAGSTER_HOME", "/ours")
    assert home() == "/ours"


def test_alerts_link_to_the_ui_unless_a_setting_names_another(
    venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(venv, "dg", '#!/bin/sh\necho "$NEO_DAGSTER_URL"\n')
    here = tmp_path / "here"
    here.mkdir()
    port = free_port()

    def address() -> str:
        return make(venv, "dev", f"PORT={port}", at=here).communicate(timeout=PATIENCE_S)[0].strip()

    assert address() == f"http://127.0.0.1:{port}"
    (here / ".env").write_text("NEO_DAGSTER_URL=https://example.org\n")
    assert address() == ""
    monkeypatch.setenv("NEO_DAGSTER_URL", "https://example.com")
    assert address() == "https://example.com"


@pytest.mark.parametrize("only", ["bench", "mutants"])
def test_only_its_own_target_installs_what_no_other_needs(venv: Path, only: str) -> None:
    def installs_it(target: str) -> bool:
        out, _ = make(venv, "--dry-run", target).communicate(timeout=PATIENCE_S)
        assert out
        return f"requirements-{only}.lock" in out

    targets = ("setup-dev", "run", "dev", "test", "quick", "lint", "bench", "mutants")
    assert [target for target in targets if installs_it(target)] == [only]


@pytest.mark.slow
def test_dg_in_the_virtual_environment_keeps_no_telemetry(tmp_path: Path) -> None:
    """Its only switch is its configuration; that of the user wins."""
    venv, own = tmp_path / "venv", tmp_path / "own"
    make(venv, f"{venv}/.created", f"PYTHON={sys.executable}").communicate(timeout=PATIENCE_S)

    def config(**variables: str) -> str:
        environment = {"HOME": str(tmp_path), **variables}
        code = "import os; print(os.environ.get('DG_CLI_CONFIG'))"
        return subprocess.check_output([f"{venv}/bin/python", "-c", code], env=environment, text=True).strip()

    assert tomllib.loads(Path(config()).read_text()) == {"cli": {"telemetry": {"enabled": False}}}
    assert config(DG_CLI_CONFIG="/mine") == "/mine"
    own.mkdir()
    (own / "dg.toml").touch()
    assert config(XDG_CONFIG_HOME=str(own)) == "None"


def test_ci_runs_some_tests_on_each_other_python_that_is_installed(venv: Path, tmp_path: Path) -> None:
    """One of them is on PATH, the other is pyenv's: its shim is on PATH too, but fails."""
    checkout, pyenv = tmp_path / "checkout", tmp_path / "pyenv"
    shutil.copytree(CHECKOUT / ".ci", checkout / ".ci")
    (checkout / ".venv").symlink_to(venv)
    one, other = (version for version in ("3.11", "3.12", "3.13") if version != "{}.{}".format(*sys.version_info))
    stub(tmp_path / "path", "make", '#!/bin/sh\necho make "$@"\n')
    stub(tmp_path / "path", "chromium", "#!/bin/sh\n")
    stub(tmp_path / "path", f"python{one}", "#!/bin/sh\n")
    stub(tmp_path / "path", f"python{other}", "#!/bin/sh\nexit 127\n")
    stub(pyenv / f"versions/{other}.7", "python", "#!/bin/sh\n")

    def made(**variables: str) -> list[str]:
        environment = {"PATH": f"{tmp_path}/path/bin:/usr/bin:/bin", "PYENV_ROOT": str(pyenv), **variables}
        out = subprocess.check_output([checkout / ".ci/run"], env=environment, text=True)
        return [line for line in out.splitlines() if line.startswith("make ")]

    everything = ["make test COV=1", "make lint"]
    assert made(GITHUB_ACTIONS="true") == everything
    *first, on_one, on_other = made()
    assert first == everything
    assert on_one.startswith(f"make quick PYTHON=python{one} VENV=.venv/python{one} TESTS=")
    assert on_other.startswith(
        f"make quick PYTHON={pyenv}/versions/{other}.7/bin/python VENV=.venv/python{other} TESTS="
    )
    for path in on_one.partition("TESTS=")[2].split():
        assert (CHECKOUT / path).exists()


BROWSER, DATABASE = "Installing Chromium\nmore\n", "Installing PostgreSQL\nmore\n"
METRICS = "Installing Prometheus\nmore\n"
PACKAGES = {BROWSER: "chromium", DATABASE: "postgresql", METRICS: "prometheus"}


@pytest.mark.parametrize(
    ("programs", "user", "said"),
    [
        (["apt-get"], 0, [BROWSER, DATABASE, METRICS]),
        (["apt-get"], 1000, []),
        (["apt-get", "google-chrome"], 0, [DATABASE, METRICS]),
        (["apt-get", "chromium-browser", "pg_ctlcluster", "prometheus", "promtool"], 0, []),
        (["apt-get", "initdb", "prometheus"], 0, [BROWSER, METRICS]),
        ([], 0, []),
    ],
)
def test_ci_installs_what_the_tests_need_and_is_not_there(
    tmp_path: Path, programs: list[str], user: int, said: list[str]
) -> None:
    out, called = run_ci(tmp_path, programs, user)
    install = "apt-get install -y --no-install-recommends"
    assert called == [call for one in said for call in ("apt-get update", f"{install} {PACKAGES[one]}")]
    assert out == f"{''.join(said)}make test COV=1\nmake lint\n"


def test_ci_goes_on_if_nothing_can_be_installed(tmp_path: Path) -> None:
    out, _ = run_ci(tmp_path, ["apt-get"], 0, "exit 100")
    browser = "Chromium cannot be installed: the tests of Dagster's UI will be skipped\n"
    database = "PostgreSQL cannot be installed: its tests will be skipped\n"
    metrics = "Prometheus cannot be installed: its tests will be skipped\n"
    assert out == f"{BROWSER}{browser}{DATABASE}{database}{METRICS}{metrics}make test COV=1\nmake lint\n"


def run_ci(tmp_path: Path, programs: list[str], user: int, does: str = "exit 0") -> tuple[str, list[str]]:
    """Run `.ci/run` where there are no other programs. Returns its output, and the calls of these programs."""
    log = tmp_path / "log"
    log.touch()
    shutil.copytree(CHECKOUT / ".ci", tmp_path / "checkout/.ci")
    stub(tmp_path, "make", '#!/bin/sh\necho make "$@"\n')
    stub(tmp_path, "id", f"#!/bin/sh\necho {user}\n")
    for program in programs:
        stub(tmp_path, program, f'#!/bin/sh\necho {program} "$@" >> {log}\necho much; echo more >&2\n{does}\n')
    for program in ("bash", "dirname", "tail", "timeout"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or program)
    environment = {"PATH": f"{tmp_path}/bin", "GITHUB_ACTIONS": "true"}
    ended = subprocess.run(
        [tmp_path / "checkout/.ci/run"], env=environment, text=True, check=True, capture_output=True, timeout=PATIENCE_S
    )
    assert ended.stderr == ""
    return ended.stdout, log.read_text().splitlines()
