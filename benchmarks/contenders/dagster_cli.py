"""Our assets with Dagster's own command, as the README shows it: a process for each page set, then one for the totals.

Unlike the other contenders it needs our package; it prints no totals, which are in the lake.
"""

import os
import subprocess
import sys
from pathlib import Path

OF_EACH_SET = "*near_miss_count,*yearly_approaches"
TOTALS = "total_near_misses,total_yearly_approaches"


def materialize(select: str, *options: str) -> None:
    """Run `dagster asset materialize`."""
    command = [str(Path(sys.executable).with_name("dagster")), "asset", "materialize", "-m", "neo_assets.definitions"]
    subprocess.run([*command, "--select", select, *options], check=True)


def main() -> None:
    """Materialize everything."""
    pages, per_set = int(os.environ["NEO_PAGES"]), int(os.environ["NEO_PAGES_PER_SET"])
    for first in range(0, pages, per_set):
        last = min(first + per_set, pages) - 1
        materialize(OF_EACH_SET, "--partition", f"{first:05d}-{last:05d}")
    materialize(TOTALS)


if __name__ == "__main__":
    main()
