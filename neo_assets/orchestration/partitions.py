"""Dagster's partitions: one per page set. Keys and pages of a page set are plain and live in `schema.page_sets`."""

import dagster as dg

from neo_assets.schema.page_sets import page_set_keys


def page_sets(pages: int, pages_per_set: int) -> dg.StaticPartitionsDefinition:
    """The pages `0 .. pages-1` cut into sets of `pages_per_set`; the last set may be shorter."""
    return dg.StaticPartitionsDefinition(page_set_keys(pages, pages_per_set))
