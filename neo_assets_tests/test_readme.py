"""The README, `docs/`, `CONTRIBUTING.md`, `CHANGELOG.md` and `.env.example` are correct: every command, option, file
and setting that they name exists, every setting has its default, and the figures are those of the simulator.
"""

import contextlib
import functools
import io
import math
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
import zipfile
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pyarrow as pa
import pytest

from neo_assets.cli.main import neo
from neo_assets.definitions import defs
from neo_assets.lake import layout
from neo_assets.orchestration.assets.products import NEO_DATABASE, REPORT, UPCOMING
from neo_assets.pipeline.count import count
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT, YEARLY_APPROACHES
from neo_assets.schema.pages import SIMULATOR, Page
from neo_assets.settings import ALLOWED, Settings
from neo_assets.sources.neows.parse import parse
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
CHANGELOG = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
ALL = "\n".join(TEXTS.values())

PROGRAMS = {"make", "neo", "dagster", "dg", "python"}


def commands() -> list[list[str]]:
    """Every command line in the documents, in code blocks and in backticks, without leading variables."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", ALL, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", ALL, flags=re.MULTILINE | re.DOTALL))
    found = []
    for line in [*lines, *inline]:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            words[0] = words[0].removeprefix(".venv/bin/")
            if words[0] in PROGRAMS and len(words) > 1:
                found.append(words)
    return [list(words) for words in sorted({tuple(words) for words in found})]


def of(program: str) -> list[list[str]]:
    return [words for words in commands() if words[0] == program]


@functools.cache
def help_of(*command: str) -> str:
    """The `--help` text of a command, run in this process, as a new process would have to import Dagster first."""
    (program,) = metadata.entry_points(group="console_scripts", name=command[0])
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # dg's Typer ignores Click's
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", [*command, "--help"])
        patch.setattr(sys.modules["__main__"], "__package__", None)  # else the program would be `python -m pytest`
        with pytest.raises(SystemExit, match="0"):
            program.load()()
    return printed.getvalue()


def options(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]


def settings_table() -> dict[str, str]:
    """The README's settings with their defaults."""
    return dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))


def default(name: str) -> str:
    [field] = [field for field in Settings.model_fields.values() if field.validation_alias == name]
    if field.default in ((), None):
        return "unset"
    number = isinstance(field.default, float) and field.default.is_integer()
    return str(int(field.default) if number else field.default)


def test_there_are_commands_of_every_program() -> None:
    assert {words[0] for words in commands()} == PROGRAMS


def test_it_opens_with_the_two_commands() -> None:
    assert README.index("make run") < README.index("make test") < 2_000
    assert "make test" in (CHECKOUT / ".ci/run").read_text()


@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_every_make_target_exists(words: list[str]) -> None:
    targets = [word for word in words[1:] if not re.match(r"-|\w+=", word)]
    assert targets
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("words", of("neo"), ids=" ".join)
def test_every_neo_command_is_accepted(words: list[str]) -> None:
    """Parsed by `click`: the command, its options and their values."""
    command: click.Command = neo
    context = click.Context(neo, info_name="neo")
    arguments = words[1:]
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
        context = click.Context(command, context, info_name=command.name)
    if not {"--help", "--version"} & set(arguments):
        command.make_parser(context).parse_args(list(arguments))
        command.parse_args(context, list(arguments))


@pytest.mark.parametrize("words", of("dagster"), ids=" ".join)
def test_every_dagster_command_and_option_exists(words: list[str]) -> None:
    command = [word for word in words[1:3] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
    text = help_of("dagster", *command)
    assert text.startswith("Usage: dagster " + " ".join(command))
    for option in options(words):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", text)


@pytest.mark.parametrize("words", of("dg"), ids=" ".join)
def test_every_dg_command_and_option_exists(words: list[str]) -> None:
    command = [word for word in words[1:3] if re.fullmatch(r"[a-z]+", word)]
    text = help_of("dg", *command)
    for option in options(words):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", text)


@pytest.mark.parametrize("words", of("python"), ids=" ".join)
def test_every_script_exists_and_every_line_of_python_is_run_by_a_test(words: list[str]) -> None:
    if words[1] == "-c":
        assert words[2].startswith("import duckdb"), "integration/test_s3.py and test_dagster_cli.py run them"
    else:
        assert (CHECKOUT / words[1]).is_file()


def test_dagster_and_dg_have_the_pinned_version() -> None:
    [pin] = [one for one in PROJECT["dependencies"] if one.startswith("dagster==")]
    assert f"{pin} " in (CHECKOUT / "requirements.lock").read_text()


def test_every_asset_selected_in_a_command_exists() -> None:
    for words in commands():
        for option in ("--select", "--assets"):
            if option in words:
                selected = words[words.index(option) + 1]
                for name in re.findall(r"\w+", selected):
                    assert name in {*METRICS.tables, "raw_pages", NEO_DATABASE, UPCOMING, REPORT}, words


def test_an_upstream_selection_starts_from_the_pages() -> None:
    """In Dagster's selections, `+` goes up one layer only."""
    [line] = re.findall(r"and everything upstream of it \|(.*)\|", README)
    selected = re.findall(r'--assets "?([^"\s]+)"?', line)[0]
    found = dg.AssetSelection.from_coercible(selected.split(",")).resolve(defs.resolve_asset_graph())
    assert "raw_pages" in {key.to_user_string() for key in found}


def test_every_setting_is_listed_with_its_default() -> None:
    listed = settings_table()
    mentioned_within = {name for name in ALLOWED if name not in listed and f"`{name}`" in README}
    assert listed.keys() | mentioned_within == ALLOWED.keys()
    assert mentioned_within <= {"NASA_API_KEY"}
    assert listed == {name: default(name) for name in listed}


def test_every_name_like_a_setting_is_a_setting() -> None:
    for text in (ALL, ENV_EXAMPLE, MAKEFILE):
        named = set(re.findall(r"\b(?:NEO|NASA|NEOWS)_[A-Z_]+\b", text))
        assert named <= ALLOWED.keys()


def test_the_env_example_has_every_setting_with_its_default() -> None:
    lines = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
    assert ALLOWED.keys() - lines.keys() <= {"DAGSTER_HOME", "NASA_API_KEY"}
    assert lines == {name: default(name).replace("unset", "") for name in lines}


def test_the_env_example_can_be_used_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(re.sub(r"^# (?=[A-Z_]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    assert Settings.load() == settings_of()


def test_the_paths_in_the_lake_are_those_of_the_layout() -> None:
    def named(text: str) -> set[str]:
        return set(re.findall(r"`((?:bronze|silver|gold|quarantine)/[^`\s]*)`", text))

    in_metrics_md = [metric.total for metric in METRICS.over_catalogue]
    listed = [table for table in METRICS.tables.values() if table not in in_metrics_md]
    files = {layout.table_file(table, "…" if table.partitioned else None) for table in listed}
    assert named(README) == {layout.raw_page(0), *files}
    assert named(ALL) == {layout.raw_page(0), layout.set_aside(""), f"{layout.DISCARDED}/", *files}


def test_every_metric_is_listed() -> None:
    listed = re.findall(
        r"`(\w+)`", "\n".join(re.findall(r"^\| `.*?\|", TEXTS[CHECKOUT / "docs/metrics.md"], re.MULTILINE))
    )
    assert {table.name for metric in METRICS.each for table in metric.tables} <= set(listed)


def test_the_totals_in_the_readme_are_those_that_a_run_prints() -> None:
    """They come from the embedded simulator, so they change only with it."""
    shown = re.search(r"^Source .*?^Dagster's UI.*?$", README, re.MULTILINE | re.DOTALL)
    assert shown
    assert [line.split("  ")[0] for line in shown[0].splitlines()] == [
        *("Source", "Pages", "NEOs", "Near misses", "Approaches", "Snapshot", "Years", "Files", "Dagster's UI"),
    ]


@functools.cache
def simulated() -> dict[str, pa.Table]:
    """The tables that `make run` leaves."""
    catalogue, now = Catalogue(), datetime.now(UTC)
    parsed = parse(Page(number, to_json(catalogue.page(number)), now, SIMULATOR, 20, 0) for number in range(10))
    return {
        "neo_records": parsed.neo_records,
        "close_approaches": parsed.close_approaches,
        "total_near_misses": count(METRICS, NEAR_MISS_COUNT, vars(parsed)),
        "total_yearly_approaches": count(METRICS, YEARLY_APPROACHES, vars(parsed)),
    }


def shows(cell: str, value: Any) -> bool:
    """Whether a cell of a sample row shows a value, rounded."""
    match value:
        case bool():
            return cell == str(value).lower()
        case float():
            return math.isclose(float(cell), value, rel_tol=1e-3)
        case datetime():
            return cell == f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        case date():
            return cell == value.isoformat()
    return cell == str(value)


@pytest.mark.parametrize("name", ["neo_records", "close_approaches", "total_near_misses", "total_yearly_approaches"])
def test_sample_rows_are_those_of_the_simulator(name: str) -> None:
    [block] = re.findall(rf"^`{name}`, [^\n]*:\n\n((?:\|.*\n)+)", README, re.MULTILINE)
    names, _, *samples = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
    rows = simulated()[name].select(names).to_pylist()
    assert samples
    for sample in samples:
        assert any(all(map(shows, sample, row.values())) for row in rows), sample


def test_the_totals_in_the_readme_agree_with_the_simulator() -> None:
    near, yearly = simulated()["total_near_misses"].to_pylist(), simulated()["total_yearly_approaches"].to_pylist()
    for line, rows, column in (("Near misses", near, "near_misses"), ("Approaches", yearly, "approaches")):
        every = sum(row[column] for row in rows)
        earth = sum(row[column] for row in rows if row["orbiting_body"] == "Earth")
        assert re.search(rf"^{line} +{every:,} to all bodies, {earth:,} to Earth", README, re.MULTILINE)


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"@@|TODO|TBD|FIXME|XXX", ALL + CHANGELOG)


def test_every_file_that_a_document_names_exists() -> None:
    for name in re.findall(r"`([\w./]+\.(?:py|md|toml|yaml|lock|example|png))`", ALL):
        assert any((CHECKOUT / folder / name).exists() for folder in ("", "neo_assets", "neo_assets_tests")), name
    for folder in re.findall(r"`((?:lake|sources|pipeline|orchestration|schema|cli|docs|neo_assets)/\w+)/?`", ALL):
        assert any((CHECKOUT / root / folder).is_dir() for root in ("", "neo_assets")), folder


@pytest.mark.parametrize("path", [*DOCUMENTS, CHECKOUT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_every_link_within_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_decision_is_in_the_index_with_its_title_and_status() -> None:
    folder = CHECKOUT / "docs/decisions"
    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \| (.+?) \|", TEXTS[folder / "README.md"], re.MULTILINE)
    assert [name for _, name, _, _ in rows] == sorted(path.name for path in folder.glob("0*.md"))
    for number, name, title, status in rows:
        assert TEXTS[folder / name].startswith(f"# {number}. {title}\n\nStatus: {status} · Date: 2026-")


def test_the_version_is_the_newest_in_the_changelog(tmp_path: Path) -> None:
    """And its wheel has the type marker, the SQL, the texts and the pages, but no tests."""
    sections = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?$", CHANGELOG, re.MULTILINE)
    assert sections[:2] == ["Unreleased", PROJECT["version"]]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=CHECKOUT, capture_output=True, check=True)
    [wheel] = tmp_path.iterdir()
    assert wheel.name.startswith(f"neo_assets-{PROJECT['version']}-")
    held = {Path(name) for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    package = CHECKOUT / "neo_assets"
    kinds = {".py", ".sql", ".html", ".css", ".js", ".md", ".typed"}
    files = {path.relative_to(CHECKOUT) for path in package.rglob("*") if path.suffix in kinds}
    assert Path("neo_assets/py.typed") in held
    assert held == files
