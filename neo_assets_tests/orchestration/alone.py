"""Asset checks to run alone, as Dagster's UI does. No assertions here."""

from collections.abc import Iterable

import dagster as dg


def alone(defs: dg.Definitions, checks: Iterable[dg.AssetCheckKey]) -> dg.JobDefinition:
    """A job of these checks that materializes nothing."""
    job = defs.resolve_implicit_global_asset_job_def()
    return job.get_subset(asset_selection=set(), asset_check_selection=set(checks))
