"""Plain functions over a lake: gather, read, count, compare. Nothing here imports Dagster or prints."""
