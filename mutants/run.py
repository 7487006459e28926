"""The command behind `make mutants`: tries the mutants of some scopes or of all, and prints what the tests missed."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from mutants.scope import SCOPES
from mutants.trial import Copy, Trials

_ENOUGH = 0.9
"""Share of the mutants that the tests of each scope must notice."""

_LAST = Path(sys.prefix) / "survivors.json"
"""The survivors of the last run of each scope."""


def main() -> None:
    """Try mutants. Exits with 1 if the tests of a scope notice too few."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("scopes", nargs="*", metavar="scope", help=f"some of {', '.join(SCOPES)}; none: all")
    parser.add_argument("--again", action="store_true", help="try only those that survived the last time")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try only every Nth change")
    options = parser.parse_args()
    if unknown := set(options.scopes) - SCOPES.keys():
        parser.error(f"{', '.join(sorted(unknown))}: no such scope; choose from {', '.join(SCOPES)}")
    results = [try_scope(name, every=options.every, again=options.again) for name in options.scopes or SCOPES]
    print(f"\n{'scope':12} {'mutants':>8} {'killed':>8} {'survived':>8} {'share':>8}")
    for name, tried, survived in results:
        print(f"{name:12} {tried:8} {tried - survived:8} {survived:8} {1 - survived / (tried or 1):8.1%}")
    sys.exit(any(survived > (1 - _ENOUGH) * tried for _, tried, survived in results))


def try_scope(name: str, every: int, again: bool) -> tuple[str, int, int]:
    """Try the mutants of a scope. Returns its name, how many there are, and how many survived."""
    scope, started, last = SCOPES[name], time.monotonic(), _survivors()
    mutants = [one for one in scope.mutants() if not again or str(one) in last.get(name, ())][::every]
    survivors = []
    with tempfile.TemporaryDirectory() as place:
        copies = [Copy(Path(place) / str(number)) for number in range(os.cpu_count() or 1)]
        trials = Trials(copies, scope.test_paths)
        trials.prepare({one.path for one in mutants if one.path.suffix == ".py"})
        for number, (mutant, is_killed) in enumerate(trials.try_all(mutants), 1):
            if not is_killed:
                survivors.append(str(mutant))
                print(f"  {mutant}", flush=True)
            if number % 20 == 0:
                print(f"{name}: {number} of {len(mutants)}", flush=True)
    if sys.pycache_prefix:
        shutil.rmtree(Path(sys.pycache_prefix, *Path(place).parts[1:]), ignore_errors=True)
    print(f"\n{name}: {len(mutants)} mutants, {len(survivors)} survived, {time.monotonic() - started:.0f} s")
    _LAST.write_text(json.dumps(_survivors() | {name: survivors}))
    return name, len(mutants), len(survivors)


def _survivors() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(_LAST.read_text()) if _LAST.exists() else {}
    return found


if __name__ == "__main__":
    main()
