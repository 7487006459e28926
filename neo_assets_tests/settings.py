"""Settings for tests, made without a `.env` file. What they mean is tested in `test_settings`."""

from typing import Any

from neo_assets.settings import Settings


def settings_of(**values: Any) -> Settings:
    """The settings given, by the names of their fields; the defaults for the rest."""
    return Settings(**values)
