"""The README and `.env.example` keep their word: every command, option, file and setting that they name exists, and
every setting is named with its default.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import dagster as dg
import pytest

from neo_assets.cli.main import neo
from neo_assets.definitions import defs
from neo_assets.lake import layout
from neo_assets.schema.tables import TABLES
from neo_assets.settings import ALLOWED, Settings
from neo_assets_tests.settings import settings_of

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")

PROGRAMS = {"make", "neo", "dagster", "dg", "python"}


def commands() -> list[list[str]]:
    """Every command line in the README, in code blocks and in backticks, without variables set before it."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
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
    """What `--help` of a command says."""
    ended = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )
    return ended.stdout


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
    """As `click` reads it: the command, its options, and their values."""
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


def test_dagster_and_dg_are_of_the_version_that_is_pinned() -> None:
    pinned = re.search(r'"dagster==([\d.]+)"', PYPROJECT)
    assert pinned
    assert f"dagster=={pinned[1]} " in (CHECKOUT / "requirements.lock").read_text()


def test_every_asset_that_a_command_selects_is_one() -> None:
    for words in commands():
        for option in ("--select", "--assets"):
            if option in words:
                selected = words[words.index(option) + 1]
                for name in re.findall(r"\w+", selected):
                    assert name in {*TABLES, "raw_pages"}, words


def test_an_asset_with_all_that_it_needs_starts_from_the_pages() -> None:
    """As `dagster asset materialize --select` reads it, where `+` goes up one layer only."""
    [line] = re.findall(r"with all that it needs \|(.*)\|", README)
    selected = re.findall(r'--select "?([^"\s]+)"?', line)[0]
    found = dg.AssetSelection.from_coercible(selected.split(",")).resolve(defs.resolve_asset_graph())
    assert "raw_pages" in {key.to_user_string() for key in found}


def test_every_setting_is_told_with_its_default() -> None:
    told = settings_table()
    mentioned_within = {name for name in ALLOWED if name not in told and f"`{name}`" in README}
    assert told.keys() | mentioned_within == ALLOWED.keys()
    assert mentioned_within <= {"NASA_API_KEY"}
    assert told == {name: default(name) for name in told}


def test_every_name_that_looks_like_a_setting_is_one() -> None:
    for text in (README, ENV_EXAMPLE, MAKEFILE):
        named = set(re.findall(r"\b(?:NEO|NASA|NEOWS)_[A-Z_]+\b", text))
        assert named <= ALLOWED.keys()


def test_the_example_of_settings_has_every_one_with_its_default() -> None:
    lines = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
    assert ALLOWED.keys() - lines.keys() <= {"DAGSTER_HOME", "NASA_API_KEY"}
    assert lines == {name: default(name).replace("unset", "") for name in lines}


def test_the_example_of_settings_can_be_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(re.sub(r"^# (?=[A-Z_]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    assert Settings.load() == settings_of()


def test_the_paths_in_the_lake_are_those_of_the_layout() -> None:
    told = set(re.findall(r"`((?:bronze|silver|gold|quarantine)[^`\s]*)`", README))
    files = {layout.raw_page(0), layout.set_aside("")}
    for table in TABLES.values():
        files.add(layout.table_file(table, "…" if table.partitioned else None))
    assert told == files


def test_the_table_that_a_run_ends_with_is_shown_as_it_is() -> None:
    """The numbers are those of the embedded simulator: they change with it only."""
    shown = re.search(r"^Source .*?^Dagster's UI.*?$", README, re.MULTILINE | re.DOTALL)
    assert shown
    assert [line.split("  ")[0] for line in shown[0].splitlines()] == [
        *("Source", "Pages", "NEOs", "Near misses", "Approaches", "Snapshot", "Years", "Files", "Dagster's UI"),
    ]


def test_no_place_is_left_to_be_filled_in() -> None:
    assert not re.search(r"@@|TODO|TBD|FIXME|XXX", README)


def test_every_file_that_it_names_exists() -> None:
    for name in re.findall(r"`([\w./]+\.(?:py|md|toml|yaml|lock|example))`", README):
        assert (CHECKOUT / name).exists() or (CHECKOUT / "neo_assets" / name).exists(), name
    for folder in re.findall(r"`(neo_assets/\w+|benchmarks)`", README):
        assert (CHECKOUT / folder).is_dir(), folder


def test_every_link_within_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (CHECKOUT / target).exists(), target
