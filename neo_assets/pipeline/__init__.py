"""Plain steps on a lake: gather, read, count, compare. Nothing here knows of Dagster or prints."""
