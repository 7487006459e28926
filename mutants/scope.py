"""What is mutated, and which quick tests should notice. How is in the modules beside this one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutants import python, sql
from mutants.mutant import Mutant

CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Scope:
    """Some files of the package with one subject, and the tests of it; both relative to their top folder."""

    files: tuple[str, ...]
    tests: tuple[str, ...]

    def mutants(self) -> Iterator[Mutant]:
        """Every mutant of the files."""
        for pattern in self.files:
            for path in sorted((CHECKOUT / "neo_assets").glob(pattern)):
                if path.name != "__init__.py":
                    below = path.relative_to(CHECKOUT)
                    yield from sql.mutants(CHECKOUT, below)
                    if path.suffix == ".py":
                        yield from python.mutants(CHECKOUT, below)

    @property
    def test_paths(self) -> list[str]:
        """The tests, relative to the checkout."""
        return [f"neo_assets_tests/{path}" for path in self.tests]


SCOPES = {
    "sql": Scope(
        ("pipeline/metrics/*.sql", "pipeline/superseded.sql"),
        ("pipeline/metrics", "pipeline/test_count.py", "pipeline/test_catalogue.py"),
    ),
    "parse": Scope(
        ("sources/neows/parse.py", "sources/neows/orbits.py", "sources/neows/values.py"),
        (
            "sources/neows/test_parse.py",
            "sources/neows/test_parse_whole.py",
            "sources/neows/test_orbits.py",
            "sources/neows/test_values.py",
            "sources/neows/test_parse_version.py",
            "sources/neows/test_odd_answers.py",
        ),
    ),
    "consistency": Scope(("pipeline/consistency.py",), ("pipeline/test_consistency.py", "pipeline/test_totals.py")),
    "totals": Scope(
        ("pipeline/totals.py", "pipeline/count.py"),
        ("pipeline/test_totals.py", "pipeline/test_count.py", "pipeline/metrics", "orchestration/assets/test_gold.py"),
    ),
    "checks": Scope(
        ("pipeline/bounds.py", "orchestration/checks/*.py"),
        ("pipeline/test_bounds.py", "orchestration/checks"),
    ),
    "budget": Scope(
        ("sources/neows/budget.py",),
        ("sources/neows/test_budget.py", "sources/neows/test_budget_edges.py", "sources/neows/test_client_budget.py"),
    ),
    "gate": Scope(
        ("sources/neows/gate.py",),
        (
            "sources/neows/test_gate.py",
            "sources/neows/test_client_budget.py",
            "sources/neows/test_client.py",
            "sources/neows/test_outages.py",
            "sources/neows/test_rounds.py",
        ),
    ),
}
