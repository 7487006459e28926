"""Picks from a lock file what pip would install, so that only some extras are installed, yet each file by its hash.

    python pick.py requirements-extras.lock report.json > picked.lock

The report is that of `pip install --dry-run --report`. Used while the image is built; nothing else belongs here.
"""

import json
import re
import sys
from pathlib import Path


def pick(lock: str, report: str) -> str:
    """The part of a lock file that pins what a report of pip lists.

    Raises:
        ValueError: the report lists a package that the lock file does not have in that version.
    """
    pins = re.findall(r"^[a-z0-9-]+==.*\n(?:    --hash=.*\n)+", lock, re.MULTILINE)
    picked = []
    for one in json.loads(report)["install"]:
        name, version = re.sub(r"[-_.]+", "-", one["metadata"]["name"]).lower(), one["metadata"]["version"]
        if one["download_info"].get("dir_info") is not None:  # the project itself
            continue
        found = [pin for pin in pins if pin.startswith((f"{name}=={version} ", f"{name}=={version}\\"))]
        if not found:
            raise ValueError(f"{name} {version} is not in the lock file: run `make lock`")
        picked += found
    return "".join(picked)


if __name__ == "__main__":
    print(pick(Path(sys.argv[1]).read_text(), Path(sys.argv[2]).read_text()), end="")
