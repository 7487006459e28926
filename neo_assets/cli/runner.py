"""What `neo` runs, and when: page sets one after another, then the totals, with progress on standard error. How a job
is executed and recorded is the business of `jobs`, what the terminal shows that of `progress`.

Dagster's own commands and jobs do the same; running here avoids waiting for the daemon's ticks.
"""

import contextlib
import gc
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from neo_assets.cli.importing import without_collection
from neo_assets.cli.progress import Watched, say, shown
from neo_assets.lake import owner, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, LakeWrong, Storage
from neo_assets.pipeline import landed_objects
from neo_assets.pipeline.consistency import Snapshot
from neo_assets.pipeline.gather import NEVER, reused_and_missing
from neo_assets.pipeline.land import TakenIn, affected_page_sets, take_in
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.quarantine import without_discarded
from neo_assets.pipeline.retire import retire
from neo_assets.pipeline.staleness import complete, current, reusable_pages, stale
from neo_assets.pipeline.text import named, quantity
from neo_assets.pipeline.totals import Totals, are_stale, read_totals
from neo_assets.schema.page_sets import name_of, pages_of
from neo_assets.schema.tables import CATALOGUE_STATS, QUARANTINE
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import DEMO_KEY
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing, pages_to_ask_again
from neo_assets.sources.neows.retry_policy import RETRY_POLICY, RetryPolicy

if TYPE_CHECKING:
    from neo_assets.cli.jobs import Instance, Jobs

PageSetError = PagesMissing | LakeDamaged | LakeLacks | LakeWrong
"""Errors that concern one page set only; the others go on."""

_ROUNDS = 3
"""Attempts to make the snapshot consistent, and to catch up with another process."""

_SHORT_WAIT_S = 10.0
"""Waits up to this long are not announced."""


@dataclass
class Landing:
    """Result of `Runner.land`."""

    files: list[TakenIn]
    computed: list[str] = field(default_factory=list)
    """Page sets that were computed."""
    incomplete: dict[str, int] = field(default_factory=dict)
    """Page sets that lack pages, with the number missing."""
    totalled: bool = False
    """Whether the totals were computed."""
    failed: dict[str, PageSetError] = field(default_factory=dict)
    """Page sets that could not be computed, with the error."""
    quarantined: Counter[int] = field(default_factory=Counter)
    """Number of records in quarantine, by page."""
    discarded: Counter[int] = field(default_factory=Counter)
    """Number of records that were discarded from it, by page."""


class Runner:
    """Runs the graph over page sets; a context manager. Progress goes to standard error."""

    def __init__(
        self,
        settings: Settings,
        lake: Storage | None = None,
        instance: "Instance | None" = None,
        policy: RetryPolicy = RETRY_POLICY,
    ) -> None:
        """Reads and writes nothing until the context is entered.

        Args:
            settings: the settings.
            lake: used instead of the lake that the settings name.
            instance: used instead of the Dagster instance that the settings name; it is not closed.
            policy: the retry policy for requests to NeoWs.
        """
        self._settings = settings
        self._lake = lake or Storage(settings.lake)
        self._metrics = Metrics.of(settings)
        self._keys = settings.page_sets
        self._neows, self._policy = Watched(settings, policy), policy
        self._shown = shown(self._neows)
        self._instance = instance

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)
        self._neows.close()
        if "_jobs" in vars(self):
            gc.unfreeze()
            self._jobs.close()

    @cached_property
    def _jobs(self) -> "Jobs":
        """Made when the first job runs: importing Dagster takes longer than a run with nothing to do."""
        with without_collection():
            from neo_assets.cli.jobs import Jobs
        return Jobs(self._settings, self._lake, self._neows, self._instance)

    def refresh(self) -> dict[str, PageSetError]:
        """Bring every page set and the landed objects up to date.

        Returns:
            The page sets that failed, with their errors. The results of all others are kept.

        Raises:
            LakeError: the lake cannot be used, or belongs to another source.
            PagesMissing, LakeDamaged, LakeLacks, LakeWrong: every page set failed.
        """
        settings = self._settings
        say(
            f"Gathering {quantity(settings.pages, 'page')} in {quantity(len(self._keys), 'page set')} "
            f"from {self._neows.where} into {self._lake.root}"
        )
        if self._neows.source:
            owner.claim(self._lake, self._neows.source)
        self._lake.sweep()
        reusable = reusable_pages(self._lake, self._keys, settings.raw_max_age_hours)
        if missing := settings.pages - sum(map(len, reusable.values())):
            self._neows.start()  # it gets ready while Dagster is imported
        self._announce(missing)
        failed = self._gather(
            self._keys, done=current(self._lake, reusable, self._metrics.of_a_page_set), at_hand=complete(reusable)
        )
        if len(failed) == len(self._keys):
            raise next(iter(failed.values()))
        return failed | self.recompute(landed_objects.stale_page_sets(self._lake, self._metrics.of_a_page_set))

    def heal(self) -> dict[str, PageSetError]:
        """Fetch inconsistent pages again, until the snapshot is consistent or three rounds are over.

        Returns:
            The page sets that failed in the last round.
        """
        for round_ in range(1, _ROUNDS + 1):
            snapshot = Snapshot(self._lake, self._metrics, self._keys)
            if not (pages := snapshot.pages_to_heal(thorough=round_ > 1)):
                break
            say(
                f"Healing, round {round_}: the snapshot is {snapshot.verdict}; "
                f"{quantity(len(pages), 'page')} to fetch again"
            )
            self._announce(len(pages))
            affected = [key for key in self._keys if not set(pages).isdisjoint(pages_of(key))]
            failed = self._gather(affected, pages)
            self.total()
            if failed:
                return failed
        else:
            if left := Snapshot(self._lake, self._metrics, self._keys).pages_to_heal(thorough=True):
                say(
                    f"The catalogue changed in every round: {quantity(len(left), 'page')} still to fetch again; "
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
            say(f"{name_of(key)}: FAILED: {error}" if error else f"{name_of(key)}: computed")
        return failed

    def land(self) -> Landing:
        """Take in files from the landing zone, then compute stale tables and the totals.

        Tables that an earlier landing left stale are computed too.
        """
        landing = Landing(list(take_in(self._lake, self._settings)))
        damaged: list[int] = []
        facts = raw_pages.known_facts(self._lake, self._keys, damaged.append)
        whole = complete(facts)
        affected = affected_page_sets(self._settings, [page for file in landing.files for page in file.pages])
        for key in affected:
            if unreadable := sorted(set(damaged).intersection(pages_of(key))):
                landing.failed[key] = LakeDamaged(
                    f"{named('page', unreadable)} cannot be read: `neo run` fetches damaged pages again"
                )
            elif key in facts and key not in whole:
                landing.incomplete[key] = len(pages_of(key)) - len(facts[key])
        others = {key: pages for key, pages in whole.items() if key not in affected}
        to_compute = (
            [key for key in affected if key in whole]
            + stale(self._lake, others, self._metrics.of_a_page_set)
            + landed_objects.stale_page_sets(self._lake, self._metrics.of_a_page_set)
        )
        for key in to_compute:
            if error := self._recompute(key):
                landing.failed[key] = error
            else:
                landing.computed.append(key)
        landing.totalled = self.total()
        if landing.computed:
            quarantine = tables.read_page_sets(self._lake, QUARANTINE, landing.computed)
            landing.quarantined = Counter(without_discarded(self._lake, quarantine)["page"].to_pylist())
            landing.discarded = Counter(quarantine["page"].to_pylist()) - landing.quarantined
        return landing

    def total(self, again: bool = False) -> bool:
        """Compute the totals and the verdict on the snapshot, unless they are up to date; if `again`, even then.

        Files of former page sets that hold the same pages as those in use are deleted, if these are complete.

        Returns:
            Whether the totals were computed.
        """
        if retired := retire(self._lake, self._keys, self._metrics.of_a_page_set):
            say(f"Deleted the tables of {named('page set', [one.page_set for one in retired])}, now in others")
        if not again and not are_stale(self._lake, self._metrics, self._keys):
            return False
        _report(self._jobs.execute("totals"))
        return True

    def totals(self) -> Totals:
        """The totals stored in the lake."""
        return read_totals(self._lake, self._metrics, self._keys)

    def _announce(self, pages_to_fetch: int) -> None:
        """Announce the number of requests and when they will be done, unless that is soon."""
        if pages_to_fetch and DEMO_KEY in self._settings.keys:
            say("DEMO_KEY allows 30 requests an hour and 50 a day; get a free key of your own at https://api.nasa.gov")
        done_at = self._neows.forecast(pages_to_fetch)
        if (takes_s := done_at - time.time()) > _SHORT_WAIT_S:
            cost = f"{quantity(pages_to_fetch, 'page')} to fetch, one request each"
            end = f"{datetime.fromtimestamp(done_at, UTC):%Y-%m-%d %H:%M} UTC, in {timedelta(seconds=round(takes_s))}"
            say(f"{cost}; the request budget allows the last request at {end}")

    def _gather(
        self,
        keys: Sequence[str],
        take_again: Collection[int] = (),
        done: Collection[str] = (),
        at_hand: Collection[str] = (),
    ) -> dict[str, PageSetError]:
        """Fetch and compute page sets, except those that are done; then, once more, those that may succeed now.

        Returns:
            The page sets that failed, with their errors.
        """
        started, fetched_before = datetime.now(UTC), self._neows.fetched
        failed = self._gather_once(keys, take_again, done, at_hand)
        if again := _to_ask_again(failed, self._neows.fetched - fetched_before, self._policy):
            say(f"Asking again for {quantity(len(again), 'page set')} that could not be fetched")
            failed = {key: error for key, error in failed.items() if key not in again}
            failed |= self._gather_once(again, take_again, not_before=started)
        if len(failed) < len(keys) and (self._neows.fetched > fetched_before or self._stats_are_lost()):
            self._gather_stats()
        self._recompute_stale([key for key in keys if key not in done and key not in failed])
        return failed

    def _gather_once(
        self,
        keys: Sequence[str],
        take_again: Collection[int],
        done: Collection[str] = (),
        at_hand: Collection[str] = (),
        not_before: datetime | None = None,
    ) -> dict[str, PageSetError]:
        """Fetch and compute page sets, except those that are done.

        Once NeoWs refuses all further requests, only page sets in `at_hand`, whose pages are all stored, are computed.
        Pages fetched at `not_before` or later are not fetched again.

        Returns:
            The page sets that failed, with their errors.
        """
        self._neows.bar.reset(sum(len(pages_of(key)) for key in keys))
        failed: dict[str, PageSetError] = {}
        stopped: NeoWsError | None = None
        for number, key in enumerate(keys, 1):
            pages, before = pages_of(key), self._neows.fetched
            label = f"[{number}/{len(keys)}] {name_of(key)}"
            again = sorted(set(take_again).intersection(pages))
            if key in done:
                say(f"{label}: up to date")
            elif stopped and key not in at_hand:
                say(f"{label}: not fetched")
                failed[key] = PagesMissing(dict.fromkeys(pages, stopped), len(pages))
            else:
                config = {"take_again": again, "not_before": not_before.isoformat() if not_before else ""}
                following = next((other for other in keys[number:] if other not in done), None)
                self._expect(None if stopped or following in at_hand else following, take_again, not_before)
                try:
                    _report(self._jobs.execute("page_set", key, {"ops": {"raw_pages": {"config": config}}}))
                    fetched = self._neows.fetched - before
                    say(f"{label}: {quantity(fetched, 'page')} fetched, {len(pages) - fetched} reused")
                except PagesMissing as error:
                    say(f"{label}: {quantity(self._neows.fetched - before, 'page')} fetched, FAILED: {error.summary}")
                    failed[key] = error
                    stopped = stopped or next((one for one in error.errors if one.concerns_all), None)
                except (LakeDamaged, LakeLacks, LakeWrong) as error:
                    say(f"{label}: FAILED: {error}")
                    failed[key] = error
            self._neows.bar.update(len(pages) - (self._neows.fetched - before))
        return failed

    def _expect(self, page_set: str | None, take_again: Collection[int], not_before: datetime | None) -> None:
        """Have pages that this page set lacks fetched ahead, while the one before it is computed. None has no pages."""
        missing: list[int] = []
        if page_set:
            max_age_hours = self._settings.raw_max_age_hours
            with contextlib.suppress(LakeDamaged, LakeLacks, LakeWrong):  # its own turn tells
                _, missing = reused_and_missing(self._lake, page_set, max_age_hours, take_again, not_before or NEVER)
        self._neows.expect(missing)

    def _recompute(self, page_set: str) -> PageSetError | None:
        try:
            _report(self._jobs.recompute(page_set))
        except (LakeDamaged, LakeLacks, LakeWrong) as error:
            return error
        return None

    def _recompute_stale(self, keys: Sequence[str]) -> None:
        """Compute page sets again if another process changed their pages in the meantime.

        Each process checks after its last write, so in the end every table is made from the pages in the lake.
        """
        for _ in range(_ROUNDS):
            if not (
                overtaken := stale(
                    self._lake, complete(raw_pages.known_facts(self._lake, keys)), self._metrics.of_a_page_set
                )
            ):
                return
            say(f"Another process changed {quantity(len(overtaken), 'page set')} in the meantime")
            self.recompute(overtaken)

    def _gather_stats(self) -> None:
        """Fetch NeoWs's own counts. They are optional: do not wait for the budget, and only report a failure."""
        if self._neows.forecast(1) - time.time() > _SHORT_WAIT_S:
            say("The request budget is used up, so NeoWs's own counts are not fetched or compared")
            return
        try:
            _report(self._jobs.execute("stats"))
        except NeoWsError as error:
            say(f"NeoWs's own counts could not be fetched, so they are not compared: {error}")

    def _stats_are_lost(self) -> bool:
        try:
            tables.read_table(self._lake, CATALOGUE_STATS)
        except (LakeLacks, LakeDamaged):
            return True
        return False


def _to_ask_again(failed: Mapping[str, PageSetError], arrived: int, policy: RetryPolicy) -> list[str]:
    """The page sets of which every missing page is worth asking for again, after `arrived` pages arrived."""
    missing = {key: error.failed for key, error in failed.items() if isinstance(error, PagesMissing)}
    pages = pages_to_ask_again({page: one[page] for one in missing.values() for page in one}, arrived, policy)
    return [key for key, one in missing.items() if one.keys() <= set(pages)]


def _report(failed_checks: Iterable[str]) -> None:
    for line in failed_checks:
        say(f"  {line}")
