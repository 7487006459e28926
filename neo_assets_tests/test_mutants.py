"""The mutants: what is changed in Python and in SQL, what is left alone, and that what no test notices is found.

What changes code is only in the environment of `make mutants`, which runs these tests first. In any other, they are
skipped.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from mutants import python, sql
from mutants.mutant import Mutant


def written(place: Path, name: str, text: str) -> Path:
    (place / name).write_text(text)
    return Path(name)


def changes(mutants: list[Mutant]) -> set[str]:
    return {one.change for one in mutants}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return a < 20", {"return a <= 20", "return a >= 20", "return a < 21", "return a < 19"}),
        ("return 0.5", {"return 1.0", "return 0.25"}),
        ("return pc.less(a, b)", {"return pc.less_equal(a, b)"}),
        ("return a not in b", {"return a in b"}),
        ("return [x for x in a if x]", {"return [x for x in a if True]", "return [x for x in a if not (x)]"}),
        ("a.clear()", {"pass"}),
        ("a += b", {"pass"}),
        ("logger.warning('%s', 1)", set()),
        ("return 'text'", set()),
        ("a: int | None", set()),
    ],
)
def test_a_line_of_python_is_changed(tmp_path: Path, line: str, expected: set[str]) -> None:
    path = written(tmp_path, "module.py", f"def function(a, b):\n    {line}\n")
    found = list(python.mutants(tmp_path, path))
    assert changes(found) == {f"{line}  ->  {changed}" for changed in expected}
    assert {(one.line, one.within) for one in found} <= {(2, (2, 3))}


def test_a_value_outside_of_functions_is_changed_too(tmp_path: Path) -> None:
    path = written(tmp_path, "module.py", "LIMIT = 5\n")
    assert [one.within for one in python.mutants(tmp_path, path)] == [None, None]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT a FROM t WHERE a < 2", {"a <= 2", "a >= 2", "a < 3", "a < 1", "SELECT a FROM t"}),
        ("SELECT a FROM t WHERE a < 17.75", {"a <= 17.75", "a >= 17.75", "a < 18.75", "a < 16.75", "SELECT a FROM t"}),
        ("SELECT a FROM t JOIN u USING (a, b)", {"USING (b)", "USING (a)", "SELECT a FROM t"}),
        ("SELECT SUM(a) FROM t WHERE b AND c", {"MAX(a)", "COUNT(a)", "b OR c", "WHERE b", "WHERE c", "FROM t"}),
        ("SELECT * FROM (SELECT 'a' UNION ALL SELECT 'b')", {"(SELECT 'a')", "(SELECT 'b')", "UNION SELECT"}),
        ("SELECT a FROM t ORDER BY a, b", {"BY b", "BY a", "BY a DESC", "b DESC", "FROM t"}),
    ],
)
def test_a_statement_is_changed(statement: str, expected: set[str]) -> None:
    original, *others = (" ".join(one.split()) for one in sql.changed(statement, "sqlite"))
    assert original == statement
    assert len(others) == len(expected)
    for part in expected:
        assert any(part in other for other in others), part


def test_statements_inside_python_are_changed(tmp_path: Path) -> None:
    calls = ('db.run("DELETE FROM a "\n           "WHERE b > ?")', 'db.run(f"DELETE FROM {table}")')
    path = written(tmp_path, "module.py", "\n    ".join(["def function(db, table):", *calls, ""]))
    found = list(sql.mutants(tmp_path, path))
    assert "db.run('DELETE FROM a WHERE b > ?')  ->  db.run('DELETE FROM a WHERE b >= ?')" in changes(found)
    assert {(one.line, one.within) for one in found} == {(2, (2, 4))}


def test_the_header_of_a_metric_stays(tmp_path: Path) -> None:
    path = written(tmp_path, "metric.sql", "/*\nname: metric\nabove: 1\n*/\nSELECT a FROM t WHERE a > 1\n")
    found = [one.mutated for one in sql.mutants(tmp_path, path)]
    assert found
    assert all(one.startswith("/*\nname: metric\nabove: 1\n*/\nSELECT") for one in found)


TRY = """
import sys
from pathlib import Path
from mutants import python, trial

trial._CHECKOUT = checkout = Path(sys.argv[1])
trial._PATIENCE_S = 30
trials = trial.Trials([trial.Copy(Path(sys.argv[2]) / name) for name in sys.argv[3]], ["tests"])
module = Path("neo_assets/rule.py")
trials.prepare([module])
for mutant, is_killed in trials.try_all(python.mutants(checkout, module)):
    print(is_killed, mutant.change.partition("->  ")[2])
"""


def tried(place: Path, rule: str, tests: dict[str, str], copies: str) -> list[str]:
    """Whether tests notice each change of a rule, and the change, in a checkout of its own."""
    checkout = place / "checkout"
    for folder in ("neo_assets", "tests"):
        (checkout / folder).mkdir(parents=True)
    (checkout / "neo_assets/__init__.py").touch()
    (checkout / "pytest.ini").touch()  # so that those in folders above do not count
    (checkout / "neo_assets/rule.py").write_text(rule)
    for name, text in tests.items():
        (checkout / "tests" / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", checkout], check=True)
    command = [sys.executable, "-c", TRY, str(checkout), str(place / "copies"), copies]
    return subprocess.check_output(command, cwd=Path(__file__).parents[1], text=True).splitlines()


@pytest.mark.slow
def test_changes_that_no_test_notices_are_found(tmp_path: Path) -> None:
    rule = (
        "import signal\n\n\ndef is_near(au):\n    return au < 0.2\n\n\ndef untried(au):\n    return not au\n\n\n"
        "def wait(au):\n    if not au:\n        signal.pause()\n\n\n"
        "def at_import(au):\n    return not au\n\n\nNOTHING = at_import(bool)\n"
    )
    tests = (
        "from neo_assets.rule import NOTHING, is_near, wait\n\n\n"
        "def test_it():\n    assert is_near(0.1) > is_near(0.3)\n    assert not NOTHING\n    wait(0.1)\n"
    )
    found = tried(tmp_path, rule, {"test_rule.py": tests}, copies="ab")
    survived = {line for line in found if line.startswith("False")}
    assert survived == {"False return au <= 0.2", "False return au", "False pass"}
    assert "True if au:" in found, "it waits for ever"
    assert len(found) == 8


@pytest.mark.slow
def test_a_test_that_noticed_a_change_is_tried_first(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    tests = {
        "test_long.py": f"def test_it():\n    with open({str(runs)!r}, 'a') as file:\n        file.write('.')\n",
        "test_rule.py": "from neo_assets.rule import LEAST\n\n\ndef test_it():\n    assert LEAST == 5\n",
    }
    assert len(tried(tmp_path, "LEAST = 5\n", tests, copies="a")) == 2
    assert runs.read_text() == "..", "without a change, and with the first one"
