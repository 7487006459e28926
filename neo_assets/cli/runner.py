"""Runs the graph for `neo`: page sets one after another, then the totals, in this process and against Dagster's
instance. The only module of the command line that imports Dagster.

Dagster's own commands and jobs do the same; what is saved is the wait for a daemon's ticks.
"""

import contextlib
import logging
import sys
import time
import uuid
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import dagster as dg
from sqlalchemy.exc import DBAPIError
from tqdm import tqdm

from neo_assets.cli.printing import name_of
from neo_assets.definitions import build_defs
from neo_assets.lake import owner, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.orchestration.automation import STORED_ONLY
from neo_assets.orchestration.instance import open_instance, state_unwritable, tags_of_this_process
from neo_assets.pipeline import landed_objects
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.land import TakenIn, affected_page_sets, take_in
from neo_assets.pipeline.metrics.engine import ENGINES
from neo_assets.pipeline.staleness import complete, current, reusable_pages, stale
from neo_assets.pipeline.text import counted, some
from neo_assets.pipeline.totals import Totals, read_totals
from neo_assets.schema.page_sets import LANDED, pages_of
from neo_assets.schema.pages import Page
from neo_assets.schema.tables import QUARANTINE
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import DEMO_KEY
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing
from neo_assets.sources.neows.source import NeoWs

PageSetError = PagesMissing | LakeDamaged | LakeLacks
"""What may go wrong with one page set while others go on."""

_ROUNDS = 3
_WORTH_A_LINE_S = 10.0

# Dagster's account of each step goes to its instance, where the UI shows it, not to the terminal.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Landing:
    """What `Runner.land` did."""

    files: list[TakenIn]
    computed: list[str] = field(default_factory=list)
    """Page sets that were computed."""
    incomplete: dict[str, int] = field(default_factory=dict)
    """Page sets that lack so many pages."""
    failed: dict[str, PageSetError] = field(default_factory=dict)
    """Page sets that could not be computed."""
    quarantined: list[int] = field(default_factory=list)
    """For each record in quarantine, the number of its page."""


class Runner:
    """Runs the graph over page sets; a context manager. Progress goes to standard error."""

    def __init__(
        self, settings: Settings, lake: Storage | None = None, instance: dg.DagsterInstance | None = None
    ) -> None:
        """Nothing is read or written before it is entered.

        Args:
            settings: the settings.
            lake: replaces the lake that the settings name.
            instance: replaces Dagster's instance that the settings name; it stays open.
        """
        self._settings = settings
        self._lake = lake or Storage(settings.lake)
        self._engine = ENGINES[settings.engine]()
        self._keys = settings.page_sets
        # The bar shows on a terminal only; the lines beside it show everywhere.
        self._bar = tqdm(total=0, unit="page", disable=None, leave=False, delay=0)
        self._neows = _Watched(settings, self._bar)
        self._defs = build_defs(settings, lake=self._lake, neows=self._neows)
        self._given = instance

    def __enter__(self) -> Self:
        self._instance = self._given or open_instance(self._settings.dagster_home)
        _LOGGER.addHandler(_TERMINAL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _LOGGER.removeHandler(_TERMINAL)
        self._bar.close()
        self._neows.close()
        if not self._given:
            self._instance.dispose()

    def refresh(self) -> dict[str, PageSetError]:
        """Bring every page set and the landed objects up to date.

        Returns:
            The page sets that failed, with their errors. What a set has done is kept when a later one fails.

        Raises:
            LakeError: the lake cannot be used, or belongs to another source.
            PagesMissing, LakeDamaged, LakeLacks: every page set failed.
        """
        settings = self._settings
        _say(
            f"Gathering {counted(settings.pages, 'page')} in {counted(len(self._keys), 'page set')} "
            f"from {self._neows.where} into {self._lake.root}"
        )
        if self._neows.source:
            owner.claim(self._lake, self._neows.source)
        self._lake.sweep()
        reusable = reusable_pages(self._lake, self._keys, settings.raw_max_age_hours)
        self._announce(settings.pages - sum(map(len, reusable.values())))
        failed = self._gather(self._keys, done=current(self._lake, reusable), at_hand=complete(reusable))
        if len(failed) == len(self._keys):
            raise next(iter(failed.values()))
        return failed | self.recompute(self._stale_landed())

    def heal(self) -> dict[str, PageSetError]:
        """Fetch the pages that do not fit the others again, until the snapshot is consistent or three rounds are over.

        Returns:
            The page sets that failed in the last round.
        """
        for round_ in range(1, _ROUNDS + 1):
            snapshot = Snapshot(self._lake, self._engine, self._keys)
            if not (pages := snapshot.pages_to_heal(thorough=round_ > 1)):
                break
            _say(
                f"Healing, round {round_}: the snapshot is {snapshot.verdict}; "
                f"{counted(len(pages), 'page')} to fetch again"
            )
            self._announce(len(pages))
            affected = [key for key in self._keys if not set(pages).isdisjoint(pages_of(key))]
            failed = self._gather(affected, pages)
            self.total()
            if failed:
                return failed
        else:
            if left := Snapshot(self._lake, self._engine, self._keys).pages_to_heal(thorough=True):
                _say(
                    f"The catalogue moved in every round: {counted(len(left), 'page')} still to fetch again; "
                    "run `neo run --heal` again later"
                )
        return {}

    def recompute(self, keys: Iterable[str]) -> dict[str, PageSetError]:
        """Compute every table of these page sets from the stored pages, without the network.

        Returns:
            The page sets that failed, with their errors.
        """
        failed: dict[str, PageSetError] = {}
        for key in keys:
            if error := self._recompute(key):
                failed[key] = error
            _say(f"{name_of(key)}: FAILED: {error}" if error else f"{name_of(key)}: computed")
        return failed

    def land(self) -> Landing:
        """Take in the files of the landing zone, then compute what is stale, and the totals.

        What an earlier landing left uncomputed is computed too.
        """
        landing = Landing(list(take_in(self._lake, self._settings)))
        damaged: list[int] = []
        facts = raw_pages.known_facts(self._lake, self._keys, damaged.append)
        whole = complete(facts)
        for key in affected_page_sets(self._settings, [page for file in landing.files for page in file.pages]):
            if spoilt := sorted(set(damaged).intersection(pages_of(key))):
                landing.failed[key] = LakeDamaged(f"page {some(spoilt)} is damaged: `neo run` fetches it again")
            elif key in facts and key not in whole:
                landing.incomplete[key] = len(pages_of(key)) - len(facts[key])
        to_compute = [*stale(self._lake, whole), *self._stale_landed()]
        for key in to_compute:
            if error := self._recompute(key):
                landing.failed[key] = error
            else:
                landing.computed.append(key)
        if landing.computed:
            self.total()
            quarantine = tables.read_page_sets(self._lake, QUARANTINE, landing.computed)
            landing.quarantined = quarantine["page"].to_pylist()
        return landing

    def total(self) -> None:
        """Compute the totals and the verdict on the snapshot."""
        self._execute("totals")

    def totals(self) -> Totals:
        """The totals as they are in the lake; what this process has read for them is not read again."""
        return read_totals(self._lake, self._engine, self._keys)

    def _announce(self, pages_to_fetch: int) -> None:
        """Say what is going to be spent, where that is worth a line."""
        if pages_to_fetch and DEMO_KEY in self._settings.keys:
            _say("DEMO_KEY has 30 requests an hour and 50 a day; a key of your own is free at https://api.nasa.gov")
        done_at = self._neows.forecast(pages_to_fetch)
        if (takes_s := done_at - time.time()) > _WORTH_A_LINE_S:
            cost = f"{counted(pages_to_fetch, 'page')} to fetch, one request each"
            end = f"{datetime.fromtimestamp(done_at, UTC):%Y-%m-%d %H:%M} UTC, in {timedelta(seconds=round(takes_s))}"
            _say(f"{cost}; the request budget allows the last one at {end}")

    def _gather(
        self,
        keys: Sequence[str],
        take_again: Collection[int] = (),
        done: Collection[str] = (),
        at_hand: Collection[str] = (),
    ) -> dict[str, PageSetError]:
        """Fetch and compute page sets, except those that are done already.

        When NeoWs gives nothing more, page sets whose pages are all at hand are computed all the same.

        Returns:
            The page sets that failed, with their errors.
        """
        self._bar.reset(sum(len(pages_of(key)) for key in keys))
        failed: dict[str, PageSetError] = {}
        stopped: PagesMissing | None = None
        fetched_before = self._neows.fetched
        for number, key in enumerate(keys, 1):
            pages, before = pages_of(key), self._neows.fetched
            label = f"[{number}/{len(keys)}] {name_of(key)}"
            again = sorted(set(take_again).intersection(pages))
            if key in done:
                _say(f"{label}: up to date")
            elif stopped and key not in at_hand:
                _say(f"{label}: not fetched")
                failed[key] = stopped
            else:
                config = {"ops": {"raw_pages": {"config": {"take_again": again}}}} if again else {}
                try:
                    self._execute("page_set", key, config)
                    fetched = self._neows.fetched - before
                    _say(f"{label}: {counted(fetched, 'page')} fetched, {len(pages) - fetched} reused")
                except PagesMissing as error:
                    _say(f"{label}: {counted(self._neows.fetched - before, 'page')} fetched, FAILED: {error.summary}")
                    failed[key] = error
                    stopped = stopped or (error if error.concerns_all else None)
                except (LakeDamaged, LakeLacks) as error:
                    _say(f"{label}: FAILED: {error}")
                    failed[key] = error
            self._bar.update(len(pages) - (self._neows.fetched - before))
        if len(failed) < len(keys) and self._neows.fetched > fetched_before:
            self._gather_stats()
        self._recompute_stale([key for key in keys if key not in done and key not in failed])
        return failed

    def _recompute(self, page_set: str) -> PageSetError | None:
        try:
            if page_set == LANDED:
                self._execute("landed")
            else:
                self._execute("recompute", page_set, STORED_ONLY)
        except (LakeDamaged, LakeLacks) as error:
            return error
        return None

    def _recompute_stale(self, keys: Sequence[str]) -> None:
        """Compute page sets again whose pages another process has changed meanwhile.

        Whoever writes last looks last, so in the end every table is made from the pages that are in the lake.
        """
        for _ in range(_ROUNDS):
            if not (mixed := stale(self._lake, complete(raw_pages.known_facts(self._lake, keys)))):
                return
            _say(f"Another process has changed {counted(len(mixed), 'page set')} meanwhile")
            self.recompute(mixed)

    def _stale_landed(self) -> list[str]:
        return [LANDED] if landed_objects.are_stale(self._lake) else []

    def _gather_stats(self) -> None:
        """Fetch NeoWs's own counts. Nothing depends on them: there is no waiting, and a refusal is only mentioned."""
        if self._neows.forecast(1) - time.time() > _WORTH_A_LINE_S:
            _say("The request budget is used up, so NeoWs's own counts are not fetched and not compared")
            return
        try:
            self._execute("stats")
        except NeoWsError as error:
            _say(f"NeoWs's own counts could not be fetched and are not compared: {error}")

    def _execute(self, job: str, page_set: str | None = None, config: Mapping[str, Any] | None = None) -> None:
        """Run a job in this process, and report asset checks that did not pass.

        An error inside it is raised as it was before Dagster wrapped it.
        """
        definition = self._defs.resolve_job_def(job)
        run_id = str(uuid.uuid4())
        try:
            result = definition.execute_in_process(
                {**_QUIET, **(config or {})},
                self._instance,
                page_set,
                run_id=run_id,
                tags=tags_of_this_process(run_id),
            )
        except dg.Failure as failure:
            raise failure.__cause__ or failure from None
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except DBAPIError as error:
            raise state_unwritable(self._instance, error) from error
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                figures = ", ".join(f"{name}: {figure.value}" for name, figure in check.metadata.items())
                _say(f"  {check.severity.value}: {check.asset_key.to_user_string()} {check.check_name}: {figures}")


class _Watched(NeoWs):
    """The source of pages, with a progress bar."""

    def __init__(self, settings: Settings, bar: "tqdm[Any]") -> None:
        super().__init__(settings)
        self._bar = bar
        self.fetched = 0
        """Pages that were fetched and stored so far."""

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        with contextlib.closing(super().pages(numbers)) as pages:
            for page in pages:
                yield page
                self.fetched += 1  # whoever asks for the next page has stored this one
                self._bar.update()


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


class _Terminal(logging.Handler):
    """Shows the package's warnings of waits and retries beside the bar; Dagster keeps the same for its UI."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(f"  {record.getMessage()}")


_LOGGER, _TERMINAL = logging.getLogger("neo_assets"), _Terminal(logging.WARNING)
