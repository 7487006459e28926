"""The request budget: how many requests each key may send in an hour, how close together, and which key is next.

All processes of a user share one small SQLite ledger, and several users can share one too, so that concurrent or
restarted runs never exceed the budget. The content of requests does not belong here.

Why no library: pyrate-limiter 4.5 has the rolling window, but its count and insert form one transaction only behind a
file lock bound to one thread. It also lacks choosing the least used of several keys, limits lowered by the server, and
parked keys. Only the one query in `_next_slot` would be saved.
"""

import contextlib
import functools
import hashlib
import itertools
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# NASA counts a request when it arrives, not when it is sent, so an hour here is 10 seconds longer than NASA's.
_TRANSIT_SHARE = 10 / 3600

DEMO_KEY = "DEMO_KEY"
_DEMO_PER_HOUR, _DEMO_PER_DAY = 30, 50  # https://api.nasa.gov, "DEMO_KEY Rate Limits"

_CLOCK_STEP_S = 60.0
"""A clock set back by more than this was wrong before; smaller corrections change nothing that matters."""

_TABLES = """
CREATE TABLE IF NOT EXISTS requests (host TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS requests_by_host ON requests (host, at);
CREATE INDEX IF NOT EXISTS requests_by_key ON requests (key, at);
CREATE TABLE IF NOT EXISTS limits (key TEXT PRIMARY KEY, allowed INTEGER NOT NULL, window_s REAL);
CREATE TABLE IF NOT EXISTS parked (key TEXT PRIMARY KEY, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS refused (key TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), latest REAL NOT NULL);
"""


class BudgetError(Exception):
    """The ledger cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True)
class Slot:
    """Permission to send one request with `key` at the time `at` (seconds since 1970) or later."""

    key: str
    at: float


@dataclass(frozen=True)
class Left:
    """What is left of a key's budget now. The key itself is not in it."""

    left: int
    """Requests that may be sent at once, as far as the window with the least room goes."""
    allowed: int
    """Requests allowed in that window."""
    window_s: float
    """Length of that window in seconds."""
    parked_until: float | None
    """When a key that is not used for now may be used again (seconds since 1970)."""
    refused: bool
    """Whether the host refused the key in the last day."""


class Budget:
    """The budget of some keys at one host. Safe to use from several threads and processes at once."""

    def __init__(
        self,
        ledger: Path,
        host: str,
        keys: Sequence[str],
        per_hour: int,
        per_second: float,
        *,
        hour_s: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            ledger: the SQLite file; it and its directory are created when first needed.
            host: the host that the keys are for; budgets of different hosts are independent.
            keys: the API keys, at least one; the ledger stores only hashes of them.
            per_hour: requests allowed per key in a rolling hour; a limit stated by the host applies too.
            per_second: requests allowed per second, over all keys.
            hour_s: length of the rolling hour in seconds; shorter in tests.
            clock: returns seconds since 1970.
        """
        self._ledger = ledger
        self._host = host
        self._hashes = {key: hashlib.sha256(f"{host} {key}".encode()).hexdigest()[:20] for key in keys}
        self._per_hour = per_hour
        self._gap_s = 1 / per_second
        self._hour_s = hour_s
        self._clock = clock
        self._lock = threading.Lock()

    def reserve(self, without: Collection[str] = ()) -> Slot:
        """Take the earliest free slot of any key, or of the least used key on a tie; it may be in the future.

        Args:
            without: keys to exclude; at least one must be left.

        Raises:
            BudgetError: the ledger cannot be written.
        """
        with self._transaction() as db:
            self._forget(db)
            return self._take(db, without)

    def give_back(self, slot: Slot) -> None:
        """Return an unused slot."""
        with self._transaction() as db:
            db.execute("DELETE FROM requests WHERE key = ? AND at = ?", (self._hashes[slot.key], slot.at))

    def forecast(self, requests: int) -> float:
        """When the last of that many further requests can be sent (seconds since 1970), if no one else sends any.

        Keys that the host refused in the last day are left out, unless no other is left.
        """
        with contextlib.closing(self._further_slots()) as slots:
            return max(itertools.islice(slots, requests), default=self._clock())

    def affordable(self, at_most: int, within_s: float, longest_wait_s: float) -> int:
        """How many further requests can be sent soon, if no one else sends any; keys are left out as in `forecast`.

        Args:
            at_most: number of requests wanted.
            within_s: those that can be sent only later than this, in seconds from now, do not count.
            longest_wait_s: nor do those before which the budget requires a longer wait than this.
        """
        number, before, until = 0, self._clock(), self._clock() + within_s
        with contextlib.closing(self._further_slots()) as slots:
            for at in itertools.islice(slots, at_most):
                if at > min(until, before + longest_wait_s):
                    break
                number, before = number + 1, at
        return number

    def per_day(self) -> float:
        """How many requests the limits of all keys allow in a day."""
        with self._transaction() as db:
            return sum(
                min(allowed * 24 * self._hour_s / length_s for length_s, allowed in self._windows(db, key).items())
                for key in self._hashes
            )

    def left(self) -> list[Left]:
        """What is left of the budget of each key, in the order of the keys. Nothing is written, not even a new ledger.

        Raises:
            BudgetError: the ledger cannot be read.
        """
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            with self._explained():
                if self._ledger.exists():
                    read_only = f"{self._ledger.absolute().as_uri()}?mode=ro"
                    with contextlib.closing(sqlite3.connect(read_only, timeout=1, uri=True)) as ledger:
                        ledger.backup(copy)
                copy.executescript(_TABLES)
                self._heal(copy)
            return [self._left_of(copy, key) for key in self._hashes]

    def _left_of(self, db: sqlite3.Connection, key: str) -> Left:
        now = self._clock()

        def used(window_s: float) -> int:
            of_key = "SELECT count(*) FROM requests WHERE key = ? AND at > ?"
            (number,) = db.execute(of_key, (self._hashes[key], now - window_s)).fetchone()
            return int(number)

        left, window_s, allowed = min(
            (max(0, most - used(length_s)), length_s, most) for length_s, most in self._windows(db, key).items()
        )
        parked_until = self._parked_until(db, key)
        return Left(left, allowed, window_s, parked_until if parked_until > now else None, self._is_refused(db, key))

    def _further_slots(self) -> Generator[float, None, None]:
        """The times of the next slots, if no one else takes any; none of them is reserved."""
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:  # a copy, so as not to block other processes
            with self._explained():
                self._db.backup(copy)
            self._heal(copy)
            self._forget(copy)
            refused = {key for key in self._hashes if self._is_refused(copy, key)}
            without = refused if len(refused) < len(self._hashes) else ()
            at = self._clock()
            while True:
                at = self._take(copy, without, not_before=at).at
                yield at

    def parked(self) -> set[str]:
        """The keys that are parked now."""
        with self._transaction() as db:
            return {key for key in self._hashes if self._parked_until(db, key) > self._clock()}

    def park(self, key: str, seconds: float) -> float:
        """Stop using a key for some seconds. Returns when it may be used again (seconds since 1970)."""
        until = self._clock() + seconds
        with self._transaction() as db:
            db.execute(
                "INSERT INTO parked VALUES (?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                (self._hashes[key], until),
            )
        return until

    def learn_limit(self, key: str, allowed: int | None, window_s: float | None = None) -> None:
        """Record that the host accepts a key, and the limit that it states for it.

        Args:
            key: the key.
            allowed: requests allowed in the window; None if the host states no limit.
            window_s: length of the rolling window in seconds, at most a day; None means an hour.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM refused WHERE key = ?", (self._hashes[key],))
            db.execute("DELETE FROM limits WHERE key = ?", (self._hashes[key],))
            if allowed is not None:
                db.execute("INSERT INTO limits VALUES (?, ?, ?)", (self._hashes[key], allowed, window_s))

    def refuse(self, key: str) -> None:
        """Record that the host does not accept a key; slots are still given out, as it may accept the key later."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?)", (self._hashes[key], self._clock()))

    @property
    def _window_s(self) -> float:
        return self._hour_s * (1 + _TRANSIT_SHARE)

    def _windows(self, db: sqlite3.Connection, key: str) -> dict[float, int]:
        """The key's rolling windows: their lengths in seconds, and the requests allowed in each."""
        windows = {self._window_s: self._per_hour}
        stated = db.execute("SELECT allowed, window_s FROM limits WHERE key = ?", (self._hashes[key],)).fetchone()
        allowed, window_s = stated or (self._per_hour, None)
        hour_s = (window_s or self._hour_s) * (1 + _TRANSIT_SHARE)
        limits = [(hour_s, allowed)]
        if key == DEMO_KEY:
            limits += [(hour_s, _DEMO_PER_HOUR), (24 * hour_s, _DEMO_PER_DAY)]
        for length_s, most in limits:
            windows[length_s] = min(most, windows.get(length_s, most))
        return windows

    def _heal(self, db: sqlite3.Connection) -> None:
        """If the clock was set back, delete what lies in the future: it was recorded while the clock was ahead."""
        now = self._clock()
        (latest,) = db.execute("SELECT max(latest) FROM clock").fetchone()
        if latest is not None and latest > now + _CLOCK_STEP_S:
            for dated in ("requests WHERE at", "parked WHERE until", "refused WHERE at", "clock WHERE latest"):
                db.execute(f"DELETE FROM {dated} > ?", (now,))
        db.execute("INSERT INTO clock VALUES (0, ?) ON CONFLICT DO UPDATE SET latest = max(latest, ?)", (now, now))

    def _forget(self, db: sqlite3.Connection) -> None:
        """Delete slots of this host, and refusals, that are too old to matter."""
        long_ago = self._clock() - 25 * self._window_s
        db.execute("DELETE FROM requests WHERE host = ? AND at < ?", (self._host, long_ago))
        db.execute("DELETE FROM refused WHERE at < ?", (long_ago,))

    def _take(self, db: sqlite3.Connection, without: Collection[str], not_before: float = 0.0) -> Slot:
        earliest = max(self._clock(), not_before)
        at, _, key = min((*self._next_slot(db, key, earliest), key) for key in self._hashes if key not in without)
        db.execute("INSERT INTO requests VALUES (?, ?, ?)", (self._host, self._hashes[key], at))
        return Slot(key, at)

    def _next_slot(self, db: sqlite3.Connection, key: str, earliest: float) -> tuple[float, int]:
        """The time of the key's next slot, and the number of its requests in the hour before."""
        at = max(earliest, self._parked_until(db, key))
        for length_s, allowed in self._windows(db, key).items():
            # The window has room once the request `allowed` places before the end has left it.
            row = db.execute(
                "SELECT at FROM requests WHERE key = ? ORDER BY at DESC LIMIT 1 OFFSET ?",
                (self._hashes[key], allowed - 1),
            ).fetchone()
            at = max(at, row[0] + length_s) if row else at
        (used,) = db.execute(
            "SELECT count(*) FROM requests WHERE key = ? AND at > ?", (self._hashes[key], at - self._window_s)
        ).fetchone()
        return self._spaced(db, at), used

    def _spaced(self, db: sqlite3.Connection, at: float) -> float:
        """The first time from `at` on that is far enough from every reserved slot, over all keys."""
        names = {"host": self._host, "at": at, "gap": self._gap_s}
        if not db.execute(
            "SELECT at FROM requests WHERE host = :host AND at > :at - :gap AND at < :at + :gap", names
        ).fetchone():
            return at
        (free,) = db.execute(
            "SELECT min(at) + :gap FROM ("
            "    SELECT at, lead(at) OVER (ORDER BY at) AS next FROM requests WHERE host = :host AND at > :at - :gap"
            ") WHERE next IS NULL OR next - at >= 2 * :gap",
            names,
        ).fetchone()
        return float(free)

    def _parked_until(self, db: sqlite3.Connection, key: str) -> float:
        row = db.execute("SELECT until FROM parked WHERE key = ?", (self._hashes[key],)).fetchone()
        return float(row[0]) if row else 0.0

    def _is_refused(self, db: sqlite3.Connection, key: str) -> bool:
        return db.execute("SELECT at FROM refused WHERE key = ?", (self._hashes[key],)).fetchone() is not None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One exclusive transaction on the ledger."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._heal(self._db)
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Lock out other threads, and turn errors of the ledger into one line."""
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise BudgetError(
                f"the request budget's ledger {self._ledger} cannot be used ({error}): make it and its directory "
                "writable (several accounts cannot share a sticky directory such as /tmp), or set NEO_REQUEST_LEDGER "
                "to another file"
            ) from error

    @functools.cached_property
    def _db(self) -> sqlite3.Connection:
        self._ledger.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._ledger.touch(exist_ok=False)
            # Users who may write to the directory may write to the ledger too, as several users may share a key.
            self._ledger.chmod(self._ledger.parent.stat().st_mode & 0o666)
        db = sqlite3.connect(self._ledger, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_TABLES)
        except sqlite3.Error:
            db.close()
            raise
        weakref.finalize(self, db.close)  # for owners that never call `close`, such as a Dagster resource
        return db

    def close(self) -> None:
        """Close the ledger; the next use reopens it."""
        with self._lock:
            if "_db" in self.__dict__:
                self._db.close()
                del self._db
