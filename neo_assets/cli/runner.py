"""`neo run` and its kin: page sets one after another, then the totals, in this process and against Dagster's instance.

Nothing is done here that Dagster's own commands and jobs do not do too; only the waiting for a daemon's ticks is saved.
"""

import logging
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dagster as dg
from dagster._core.instance import InstanceRef
from dagster._core.utils import make_new_run_id
from sqlalchemy.exc import DBAPIError
from tqdm import tqdm

from neo_assets.definitions import build_defs
from neo_assets.lake import owner, tables
from neo_assets.lake.disk import is_alive
from neo_assets.lake.raw_pages import known_facts
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.orchestration.automation import QUIET
from neo_assets.orchestration.failures import StateUnwritable
from neo_assets.pipeline import landed
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.land import Landing, Report
from neo_assets.pipeline.staleness import outdated, page_index, reusable_by_page_set, up_to_date, whole
from neo_assets.pipeline.text import counted
from neo_assets.pipeline.totals import Summary, summarize
from neo_assets.schema.page_sets import LANDED, page_set_keys, pages_of
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import RAW_PAGE_INDEX
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import DEMO_KEY
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing
from neo_assets.sources.neows.source import NeoWs

_DEFAULT_HOME = Path("data/dagster")
_OVERRIDES: Any = {
    "telemetry": {"enabled": False},
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
}
PageSetError = PagesMissing | LakeDamaged | LakeLacks
"""What may go wrong with one page set while others go on."""

_RUN, _MACHINE, _PROCESS = "neo_assets/run", "neo_assets/machine", "neo_assets/process"
"""Tags of a run: who runs it. A run that Dagster makes of another takes over its tags, but is not the one they name."""

_HEALING_ROUNDS = 3
_WORTH_A_WORD_S = 10.0


class Runner:
    """Runs the graph over page sets; a context manager. Progress goes to standard error."""

    def __init__(self, settings: Settings, lake: Storage | None = None) -> None:
        """Nothing is read or written before it is entered. `lake` replaces that of the settings."""
        self._settings = settings
        self._lake = lake or Storage(settings.lake)
        self._keys = page_set_keys(settings.pages, settings.pages_per_set)
        self._fetched = Counter[str]()
        self._current = ""
        self._neows = NeoWs(settings, on_page=self._count)
        self._defs = build_defs(settings, lake=self._lake, neows=self._neows)

    def __enter__(self) -> Self:
        # The bar shows on a terminal only; the lines beside it show everywhere.
        self._bar = tqdm(total=0, unit="page", disable=None, leave=False)
        self._instance = _instance(self._settings)
        _LOGGER.addHandler(_TERMINAL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _LOGGER.removeHandler(_TERMINAL)
        self._bar.close()
        self._instance.dispose()

    def refresh(self) -> dict[str, PageSetError]:
        """Do all page sets that are not done yet, and the landed objects.

        Returns:
            The page sets that failed, with what went wrong. What a set has done is kept when a later one fails.

        Raises:
            LakeError: the lake cannot be used, or belongs to another source.
            PagesMissing, LakeDamaged, LakeLacks: no page set could be done.
        """
        settings = self._settings
        _tell(
            f"Gathering {counted(settings.pages, 'page')} in {counted(len(self._keys), 'page set')} "
            f"from {self._neows.where} into {self._lake.root}"
        )
        if self._neows.source:
            owner.claim(self._lake, self._neows.source)
        self._lake.sweep()
        reusable = reusable_by_page_set(self._lake, self._keys, settings.raw_max_age_hours)
        self._announce(settings.pages - sum(map(len, reusable.values())))
        failed = self._gather(self._keys, done=up_to_date(self._lake, reusable), at_hand=whole(reusable))
        if len(failed) == len(self._keys):
            raise next(iter(failed.values()))
        return failed | self._compute_landed(landed.compute_outdated)

    def heal(self) -> dict[str, PageSetError]:
        """Take those pages again that do not fit the others, until the snapshot is consistent or three rounds are
        over.

        Returns:
            The page sets that failed in the last round.
        """
        for round_ in range(1, _HEALING_ROUNDS + 1):
            snapshot = Snapshot(self._lake, self._keys)
            if not (pages := snapshot.pages_to_heal(thorough=round_ > 1)):
                break
            _tell(
                f"Healing, round {round_}: the snapshot is {snapshot.verdict}; "
                f"{counted(len(pages), 'page')} to be taken again"
            )
            self._announce(len(pages))
            affected = [key for key in self._keys if not set(pages).isdisjoint(pages_of(key))]
            failed = self._gather(affected, pages)
            self.total()
            if failed:
                return failed
        else:
            if left := Snapshot(self._lake, self._keys).pages_to_heal(thorough=True):
                _tell(
                    f"The catalogue moved in every round: {counted(len(left), 'page')} still to be taken again; "
                    "run `neo run --heal` again when it stands still"
                )
        return {}

    def recompute(self, keys: Sequence[str]) -> dict[str, PageSetError]:
        """Make every table of these page sets anew from the stored pages, without the network.

        Returns:
            The page sets that failed, with what went wrong.
        """
        failed = self._run_page_sets("recompute", [key for key in keys if key != LANDED])
        return failed | (self._compute_landed(landed.compute) if LANDED in keys else {})

    def land(self) -> Report:
        """Take in what lies in the landing zone, and count it."""
        return Landing(self._lake, self._settings, self._instance, self._execute).take_in()

    def summary(self) -> Summary:
        """The totals as they stand in the lake; what was read for them in this process is not read again."""
        return summarize(self._lake, self._keys)

    def total(self) -> None:
        """Compute the totals and the verdict on the snapshot."""
        self._execute("totals")

    def _announce(self, pages_to_fetch: int) -> None:
        """Say what is going to be spent, where that is worth a word."""
        if pages_to_fetch and DEMO_KEY in self._settings.keys:
            _tell("DEMO_KEY has 30 requests an hour and 50 a day; a key of your own is free at https://api.nasa.gov")
        done_at = self._neows.forecast(pages_to_fetch)
        if (takes_s := done_at - time.time()) > _WORTH_A_WORD_S:
            cost = f"{counted(pages_to_fetch, 'page')} to fetch, one request each"
            end = f"{datetime.fromtimestamp(done_at, UTC):%Y-%m-%d %H:%M} UTC, in {timedelta(seconds=round(takes_s))}"
            _tell(f"{cost}; by the request budget the last goes out at {end}")

    def _gather(
        self,
        keys: Sequence[str],
        take_again: Collection[int] = (),
        done: Collection[str] = (),
        at_hand: Collection[str] = (),
    ) -> dict[str, PageSetError]:
        """Fetch and compute page sets, but for those that are done already; which of them failed."""
        failed = self._run_page_sets("page_set", keys, take_again, done, at_hand)
        if len(failed) < len(keys) and self._fetched.total():
            self._note_stats()
        self._make_of_one_piece([key for key in keys if key not in done and key not in failed])
        return failed

    def _run_page_sets(
        self,
        job: str,
        keys: Sequence[str],
        take_again: Collection[int] = (),
        done: Collection[str] = (),
        at_hand: Collection[str] = (),
    ) -> dict[str, PageSetError]:
        """Run a job over page sets, but for those that are done already; which of them failed.

        When NeoWs gives nothing more, those go on for which nothing need be fetched, as all their pages are at hand.
        """
        self._fetched.clear()
        self._bar.reset(sum(len(pages_of(key)) for key in keys))
        failed: dict[str, PageSetError] = {}
        stopped: PagesMissing | None = None
        for number, key in enumerate(keys, 1):
            self._current, pages = key, pages_of(key)
            label = f"[{number}/{len(keys)}] page set {key}"
            again = sorted(set(take_again).intersection(pages))
            if key in done:
                _tell(f"{label}: up to date")
            elif stopped and key not in at_hand:
                _tell(f"{label}: not asked for")
                failed[key] = stopped
            else:
                config = {"ops": {"raw_pages": {"config": {"take_again": again}}}} if again else {}
                try:
                    self._execute(job, key, config)
                    reused = len(pages) - self._fetched[key]
                    _tell(f"{label}: {counted(self._fetched[key], 'page')} fetched, {reused} reused")
                except PagesMissing as error:
                    _tell(f"{label}: {counted(self._fetched[key], 'page')} fetched, FAILED: {error.summary}")
                    failed[key] = error
                    stopped = stopped or (error if error.concerns_all else None)
                except (LakeDamaged, LakeLacks) as error:
                    _tell(f"{label}: FAILED: {error}")
                    failed[key] = error
            self._bar.update(len(pages) - self._fetched[key])
        return failed

    def _make_of_one_piece(self, keys: Sequence[str]) -> None:
        """Compute those of the page sets again that another process has worked on meanwhile.

        Whoever writes last looks last, so in the end every table is made from the pages that stand in the lake.
        """
        for _ in range(_HEALING_ROUNDS):
            facts = known_facts(self._lake, {key: pages_of(key) for key in keys})
            complete = whole(facts)
            if not (mixed := outdated(self._lake, complete)):
                return
            _tell(f"{counted(len(mixed), 'page set')} another process has changed meanwhile: computed again")
            for key in mixed:
                tables.write_table(self._lake, RAW_PAGE_INDEX, page_index(complete[key]), key)
            self._run_page_sets("recompute", mixed)

    def _compute_landed(self, compute: Callable[[Storage], object]) -> dict[str, PageSetError]:
        try:
            if compute(self._lake) is not False:
                _tell("landed objects: computed")
        except (LakeDamaged, LakeLacks) as error:
            _tell(f"landed objects: FAILED: {error}")
            return {LANDED: error}
        return {}

    def _execute(self, job: str, page_set: str | None = None, config: Mapping[str, Any] | None = None) -> None:
        """Run a job in this process and say which asset checks did not pass.

        What went wrong in it is raised as it was before Dagster was told.
        """
        definition = self._defs.resolve_job_def(job)
        run_id = make_new_run_id()
        tags = _here() | {_RUN: run_id, _PROCESS: str(os.getpid())}
        try:
            result = definition.execute_in_process(
                {**QUIET, **(config or {})}, self._instance, page_set, run_id=run_id, tags=tags
            )
        except dg.Failure as failure:
            raise failure.__cause__ or failure from None
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except DBAPIError as error:
            raise _unwritable(Path(self._instance.root_directory), error.orig) from error
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                figures = ", ".join(f"{name}: {figure.value}" for name, figure in check.metadata.items())
                _tell(f"  {check.severity.value}: {check.asset_key.to_user_string()} {check.check_name}: {figures}")

    def _note_stats(self) -> None:
        """Ask NeoWs what it says of itself; nothing depends on it, so it is not waited for, nor is a refusal more than
        mentioned.
        """
        if self._neows.forecast(1) - time.time() > _WORTH_A_WORD_S:
            _tell("The request budget is used up, so the catalogue's own count is not asked for and not compared")
            return
        try:
            self._execute("stats")
        except NeoWsError as error:
            _tell(f"The catalogue's own count could not be had and is not compared: {error}")

    def _count(self, page: Page) -> None:
        self._fetched[self._current] += 1
        self._bar.update()


def _instance(settings: Settings) -> dg.DagsterInstance:
    """Dagster's instance, as `dagster` commands find it here: DAGSTER_HOME, else ./dagster.yaml, else data/dagster.

    Nothing is ever sent home by it, and the empty output of its steps is not captured.
    """
    home = settings.dagster_home or (Path.cwd() if Path("dagster.yaml").exists() else _DEFAULT_HOME.absolute())
    try:
        home.mkdir(parents=True, exist_ok=True)
        instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_OVERRIDES))
        _end_runs_of_the_dead(instance)
        return instance
    except OSError as error:
        raise _unwritable(home, error.strerror) from error
    except DBAPIError as error:
        raise _unwritable(home, error.orig) from error


def _here() -> dict[str, str]:
    return {_MACHINE: socket.gethostname()}


def _end_runs_of_the_dead(instance: dg.DagsterInstance) -> None:
    """Tell Dagster that runs have failed whose process was killed.

    Nobody else would: they have no worker that its monitoring knows of, and would hold a place in its queue for ever.
    """
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags=_here())
    for run in instance.get_runs(under_way):
        if run.tags.get(_RUN) == run.run_id and not is_alive(int(run.tags[_PROCESS])):
            instance.report_run_failed(run, "The process that ran it is gone.")


def _unwritable(home: Path, why: object) -> StateUnwritable:
    return StateUnwritable(
        f"Dagster's state in {home} cannot be read or written ({why}): is the disk full, or the place not yours? "
        "Free some space, or set DAGSTER_HOME to another place"
    )


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


class _Terminal(logging.Handler):
    """Shows what the package logs of waits and retries, beside the bar; Dagster keeps the same for its UI."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(f"  {record.getMessage()}")


_LOGGER, _TERMINAL = logging.getLogger("neo_assets"), _Terminal(logging.WARNING)
