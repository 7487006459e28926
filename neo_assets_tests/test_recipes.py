"""The recipes in `docs/recipes.md` work: `neo sql` runs each of them on simulated objects, and answers in the shape
that is shown beside it. The figures there are of NASA's objects, which no test has.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.pipeline.by_hand import gather, pages_from, total
from neo_assets_tests.sources.neows.examples import approach, neo, page

CHECKOUT = Path(__file__).parents[1]
TEXT = (CHECKOUT / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPE = re.compile(
    r"^### (?P<question>.+)\n\n(?:.+\n)+\n```sql\n(?P<sql>(?:.+\n)+)```\n\n(?:.+:\n\n)?(?P<table>(?:\|.*\n)+)",
    re.MULTILINE,
)
WITH_A_UNIT = re.compile("distance|closest|farthest|moid|velocity|diameter|period|inclination|arc_")
UNITS = ("_au", "_ld", "_km", "_m", "_km_s", "_days", "_deg")

SIMULATED, PAGES_PER_SET = 30, 10
PAGES = SIMULATED + 1
KEYS = page_set_keys(PAGES, PAGES_PER_SET)


@dataclass(frozen=True)
class Recipe:
    """A question, and how it is answered."""

    question: str
    sql: str
    columns: list[str]
    """Those of the answer that is shown."""
    rows: list[list[str]]
    """The rows that are shown."""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def recipes() -> list[Recipe]:
    found = []
    for one in RECIPE.finditer(TEXT):
        names, _, *rows = map(cells, one["table"].splitlines())
        found.append(Recipe(one["question"], one["sql"], names, rows))
    return found


RECIPES = recipes()
each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.question)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the default lake: simulated NEOs, and two of NASA's with the approaches that made them known."""
    directory = tmp_path_factory.mktemp("recipes")
    lake = Storage(str(directory / "data" / "lake"))
    owner.claim(lake, "simulator")
    for key in KEYS[:-1]:
        gather(lake, key, pages_from(Catalogue(neos=SIMULATED * 20), key))
    apophis = approach("0.000254091", "38011.472", "2029-04-13"), approach("0.0007", "104718.5", "2029-04-14", "Moon")
    duende = approach("0.000228", "34108.3", "2013-02-15")
    known = (
        neo("2099942", *apophis, name="99942 Apophis (2004 MN4)"),
        neo("2367943", duende, name="367943 Duende (2012 DA14)"),
    )
    gather(lake, KEYS[-1], [page(*known, number=SIMULATED)])
    total(lake, KEYS)
    return directory


def answer(neo: Callable[..., Ended], sql: str) -> list[list[str]]:
    """The names of the columns, then the rows."""
    ended = neo("sql", "--csv", sql, NEO_PAGES=PAGES, NEO_PAGES_PER_SET=PAGES_PER_SET)
    assert ended.code == 0, ended.err
    return list(csv.reader(io.StringIO(ended.out)))


def test_there_are_enough_and_each_question_is_asked_once() -> None:
    questions = [recipe.question for recipe in RECIPES]
    assert len(questions) >= 20
    assert len(set(questions)) == len(questions)
    assert all(question.endswith("?") for question in questions)


def test_the_readme_says_how_many_there_are() -> None:
    for name in ("README.md", "CHANGELOG.md"):
        assert f" {len(RECIPES)} questions " in (CHECKOUT / name).read_text(encoding="utf-8")


def test_no_recipe_is_overlooked() -> None:
    assert [recipe.question for recipe in RECIPES] == re.findall(r"^### (.+)", TEXT, re.MULTILINE)
    assert TEXT.count("```") == 2 * len(RECIPES)


@each
def test_it_answers_in_the_shape_that_is_shown(
    recipe: Recipe, neo: Callable[..., Ended], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    names, *rows = answer(neo, recipe.sql)
    assert names == recipe.columns
    assert rows
    assert recipe.rows
    assert {len(row) for row in recipe.rows} == {len(names)}


@each
def test_its_numbers_have_units(recipe: Recipe) -> None:
    assert "distance" not in recipe.columns
    assert not [name for name in recipe.columns if WITH_A_UNIT.search(name) and not name.endswith(UNITS)]
