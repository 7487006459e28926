"""`CITATION.cff`, in version 1.2.0 of the Citation File Format, and `LICENSE.md`. What they say is in `about` and in
the texts beside this module.
"""

from importlib import resources
from typing import Any

import yaml

from neo_assets.products.release.about import KEYWORDS, About

CITATION = "CITATION.cff"


def citation(about: About) -> str:
    """The text of `CITATION.cff`."""
    said: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them and their sources as below.",
        "type": "dataset",
        "title": about.title,
        "abstract": about.description,
        "authors": [{"name": "neo_assets"}],
        "version": about.version,
        "date-released": about.at.date(),
        "identifiers": [
            {"type": "other", "value": about.snapshot["snapshot_id"], "description": "Digest of the snapshot."}
        ],
        "keywords": [*KEYWORDS, *(["simulated"] if about.is_simulated else [])],
    }
    if not about.is_simulated:
        said["references"] = [
            {"type": "database", "title": one.title, "authors": [{"name": one.by}], "url": one.url, "notes": one.part}
            for one in about.origins
        ]
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120))


def licence(about: About) -> str:
    """The text of `LICENSE.md`."""
    name = "licence_simulated.md" if about.is_simulated else "licence.md"
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
