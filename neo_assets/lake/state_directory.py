"""Where this machine keeps what belongs to a lake but is not in it, such as Dagster's history: a directory for each
lake. What is kept there is decided by those who keep it.
"""

import hashlib
import os
import re
from pathlib import Path

from neo_assets.lake.storage import Storage
from neo_assets.settings import DEFAULT_LAKE

DEFAULT_HOME = Path("data/dagster")
"""The directory of the default lake, unless DAGSTER_HOME is set."""


def state_directory(base_dir: str, lake: Storage) -> str:
    """The directory of a lake: `base_dir` itself for the default lake; for others one beside it, named after them."""
    if lake.root == Storage(DEFAULT_LAKE).root:
        return base_dir
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", lake.root.rpartition("/")[2])
    return f"{base_dir}-{name}-{hashlib.sha256(os.fsencode(lake.root)).hexdigest()[:8]}"


def home_of(dagster_home: Path | None, lake: Storage) -> Path:
    """The directory of a lake: DAGSTER_HOME, which serves one lake, if it is set."""
    return dagster_home or Path(state_directory(str(DEFAULT_HOME.absolute()), lake))
