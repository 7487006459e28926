"""`neo run`: the page sets one after another, then the totals, in this process and against Dagster's instance.

Nothing is done here that `dagster asset materialize` does not do too; only the waiting for a daemon's ticks is saved.
"""

import sys
from collections import Counter
from pathlib import Path

import dagster as dg
from tqdm import tqdm

from neo_assets.definitions import build_defs
from neo_assets.failures import PagesMissing
from neo_assets.lake import source
from neo_assets.lake.storage import Storage
from neo_assets.neows.pages import Page
from neo_assets.partitions import page_sets, pages_of
from neo_assets.progress import is_done
from neo_assets.resources import NeoWs
from neo_assets.settings import Settings

# Dagster's account of each step goes to its instance, where the UI shows it, and not to the terminal.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_DEFAULT_HOME = Path("data/dagster")


def run_everything(settings: Settings) -> list[str]:
    """Do all page sets that are not done yet, then the totals. Progress goes to standard error.

    Returns:
        The page sets that failed. What a set has done is kept when a later one fails.

    Raises:
        LakeError: the lake cannot be used, or belongs to another source.
        PagesMissing: no page could be had, for a reason that concerns all of them.
    """
    keys = page_sets(settings.pages, settings.pages_per_set).get_partition_keys()
    lake = Storage(settings.lake)
    failed: dict[str, PagesMissing] = {}
    # The bar shows on a terminal only; the lines beside it show everywhere.
    with tqdm(total=settings.pages, unit="page", disable=None, leave=False) as bar, _instance(settings) as instance:
        fetched = Counter[str]()

        def count(page: Page) -> None:
            fetched[key] += 1
            bar.update()

        neows = NeoWs(settings, on_page=count)
        _tell(f"Gathering {settings.pages:,} pages in {len(keys):,} page sets from {neows.where} into {lake.root}")
        if neows.source:
            source.claim(lake, neows.source)
        defs = build_defs(settings, neows=neows)
        for done, key in enumerate(keys, 1):
            label = f"[{done}/{len(keys)}] page set {key}"
            if is_done(lake, key, settings.raw_max_age_hours):
                _tell(f"{label}: up to date")
            else:
                try:
                    _execute(defs.resolve_job_def("page_set"), instance, key)
                    _tell(f"{label}: {fetched[key]} pages fetched, {len(pages_of(key)) - fetched[key]} reused")
                except PagesMissing as error:
                    _tell(f"{label}: FAILED: {error}")
                    failed[key] = error
                    if error.concerns_all:
                        failed.update(dict.fromkeys(keys[done:], error))
                        break
            bar.update(len(pages_of(key)) - fetched[key])
        if len(failed) == len(keys):
            raise next(iter(failed.values()))
        _execute(defs.resolve_job_def("totals"), instance)
    return list(failed)


def _execute(job: dg.JobDefinition, instance: dg.DagsterInstance, page_set: str | None = None) -> None:
    """Run a job in this process and say which asset checks did not pass.

    What went wrong in it is raised as it was before Dagster was told.
    """
    try:
        result = job.execute_in_process(_QUIET, instance, page_set)
    except dg.Failure as failure:
        raise failure.__cause__ or failure from None
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            figures = ", ".join(f"{name}: {figure.value}" for name, figure in check.metadata.items())
            _tell(f"  {check.severity.value}: {check.asset_key.to_user_string()} {check.check_name}: {figures}")


def _instance(settings: Settings) -> dg.DagsterInstance:
    """Dagster's instance, as `dagster` commands find it here: DAGSTER_HOME, else ./dagster.yaml, else data/dagster."""
    if settings.dagster_home:
        return dg.DagsterInstance.from_config(str(settings.dagster_home))
    if Path("dagster.yaml").exists():
        return dg.DagsterInstance.from_config(str(Path.cwd()))
    _DEFAULT_HOME.mkdir(parents=True, exist_ok=True)
    return dg.DagsterInstance.from_config(str(_DEFAULT_HOME.absolute()))


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
