"""The request budget: how many requests each key has in an hour, how close together, and which key is asked next.

Kept in a small SQLite ledger that every process of this user shares, or of several users, so that runs at once, or a
restart in the middle, never spend more than there is. What a request asks for is not known here.

No library was taken: pyrate-limiter 4.5 has the window, but counts and inserts in one transaction only behind a file
lock that is bound to one thread, and knows neither several keys of which the least used goes first, nor a limit that
the server lowers, nor a parked key. What would be left of it is the one query in `_next_slot`.
"""

import contextlib
import functools
import hashlib
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# NASA counts a request when it arrives, not when it is sent: an hour here is this much longer than theirs (10 seconds).
_TRANSIT_SHARE = 10 / 3600

DEMO_KEY = "DEMO_KEY"
_DEMO_PER_HOUR, _DEMO_PER_DAY = 30, 50  # https://api.nasa.gov, "DEMO_KEY Rate Limits"

_FAR_AHEAD = 1000
"""Windows: no slot is handed out that long before its time."""

_TABLES = """
CREATE TABLE IF NOT EXISTS requests (host TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS requests_by_host ON requests (host, at);
CREATE INDEX IF NOT EXISTS requests_by_key ON requests (key, at);
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, per_hour INTEGER, parked_until REAL);
"""


class BudgetError(Exception):
    """The ledger cannot be used; the message says where it is and what to do."""


@dataclass(frozen=True)
class Slot:
    """Leave to send one request with `key` at the time `at` (seconds since 1970), not earlier."""

    key: str
    at: float


class Budget:
    """The budget of some keys at one host. Usable from several threads and processes at once."""

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
            ledger: the SQLite file; it and its directory are made when first needed.
            host: whom the keys are for; budgets of different hosts have nothing to do with one another.
            keys: the API keys, at least one; the ledger holds only hashes of them.
            per_hour: requests that one key has in a rolling hour; a lower limit that the host states wins.
            per_second: requests a second, over all keys.
            hour_s: length of the rolling hour in seconds, for tests.
            clock: seconds since 1970.
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
        """Take the soonest free slot over all keys, of the least used key on a tie; it may lie in the future.

        Args:
            without: keys not to be used; at least one must be left.

        Raises:
            BudgetError: the ledger cannot be written.
        """
        with self._transaction() as db:
            self._forget(db)
            return self._take(db, without)

    def give_back(self, slot: Slot) -> None:
        """Free a slot that was not used."""
        with self._transaction() as db:
            db.execute("DELETE FROM requests WHERE key = ? AND at = ?", (self._hashes[slot.key], slot.at))

    def forecast(self, requests: int) -> float:
        """When the last of so many more requests could be sent (seconds since 1970), if nobody else sends any."""
        at = self._clock()
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:  # so that nobody waits while it is computed
            with self._plainly():
                self._db.backup(copy)
            self._forget(copy)
            for _ in range(requests):
                at = self._take(copy, (), not_before=at).at
        return at

    def parked(self) -> set[str]:
        """The keys that are being left alone now."""
        with self._transaction() as db:
            return {key for key in self._hashes if self._state(db, key)[1] > self._clock()}

    def park(self, key: str, seconds: float) -> float:
        """Leave a key alone for so long; the others go on. Returns when it will be asked again (seconds since 1970)."""
        until = self._clock() + seconds
        with self._transaction() as db:
            db.execute(
                "INSERT INTO keys (key, parked_until) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET parked_until = max(coalesce(parked_until, 0), excluded.parked_until)",
                (self._hashes[key], until),
            )
        return until

    def learn_limit(self, key: str, per_hour: int) -> None:
        """Take note of the hourly limit that the host states for a key."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO keys (key, per_hour) VALUES (?, ?) ON CONFLICT DO UPDATE SET per_hour = excluded.per_hour",
                (self._hashes[key], per_hour),
            )

    @property
    def _window_s(self) -> float:
        return self._hour_s * (1 + _TRANSIT_SHARE)

    def _forget(self, db: sqlite3.Connection) -> None:
        """Forget, of whatever key of this host, what is past, and what a clock handed out that was far ahead."""
        now = self._clock()
        db.execute("DELETE FROM requests WHERE host = ? AND at < ?", (self._host, now - 25 * self._window_s))
        db.execute("DELETE FROM requests WHERE host = ? AND at > ?", (self._host, now + _FAR_AHEAD * self._window_s))

    def _take(self, db: sqlite3.Connection, without: Collection[str], not_before: float = 0.0) -> Slot:
        earliest = max(self._clock(), not_before)
        at, _, key = min((*self._next_slot(db, key, earliest), key) for key in self._hashes if key not in without)
        db.execute("INSERT INTO requests VALUES (?, ?, ?)", (self._host, self._hashes[key], at))
        return Slot(key, at)

    def _next_slot(self, db: sqlite3.Connection, key: str, earliest: float) -> tuple[float, int]:
        """When the key's next slot is, and how many requests it has from an hour before that on."""
        per_hour, parked_until = self._state(db, key)
        windows = [(self._window_s, per_hour)]
        if key == DEMO_KEY:
            windows = [(self._window_s, min(per_hour, _DEMO_PER_HOUR)), (24 * self._window_s, _DEMO_PER_DAY)]
        at = max(earliest, parked_until)
        for length_s, requests in windows:
            # Whatever is in the window, in whatever order it was handed out: it has room after the last but so many.
            row = db.execute(
                "SELECT at FROM requests WHERE key = ? ORDER BY at DESC LIMIT 1 OFFSET ?",
                (self._hashes[key], requests - 1),
            ).fetchone()
            at = max(at, row[0] + length_s) if row else at
        (used,) = db.execute(
            "SELECT count(*) FROM requests WHERE key = ? AND at > ?", (self._hashes[key], at - self._window_s)
        ).fetchone()
        return self._spaced(db, at), used

    def _spaced(self, db: sqlite3.Connection, at: float) -> float:
        """The first time from `at` on that keeps its distance from every slot that was handed out, over all keys."""
        names = {"host": self._host, "at": at, "gap": self._gap_s}
        if not db.execute(
            "SELECT 1 FROM requests WHERE host = :host AND at > :at - :gap AND at < :at + :gap LIMIT 1", names
        ).fetchone():
            return at
        (free,) = db.execute(
            "SELECT min(at) + :gap FROM ("
            "    SELECT at, lead(at) OVER (ORDER BY at) AS next FROM requests WHERE host = :host AND at > :at - :gap"
            ") WHERE next IS NULL OR next - at >= 2 * :gap",
            names,
        ).fetchone()
        return float(free)

    def _state(self, db: sqlite3.Connection, key: str) -> tuple[int, float]:
        """The key's hourly limit, and until when it is left alone."""
        row = db.execute("SELECT per_hour, parked_until FROM keys WHERE key = ?", (self._hashes[key],)).fetchone()
        stated, parked_until = row or (None, None)
        return min(self._per_hour, stated or self._per_hour), parked_until or 0.0

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction; nobody else reads or writes the ledger in the meantime."""
        with self._plainly():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        """Keep other threads from the ledger, and say in one line what cannot be done with it."""
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise BudgetError(
                f"the request budget's ledger {self._ledger} cannot be used ({error}): make it and its directory "
                "writable (for several accounts not a sticky one such as /tmp), or set NEO_REQUEST_LEDGER to another"
            ) from error

    @functools.cached_property
    def _db(self) -> sqlite3.Connection:
        self._ledger.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._ledger.touch(exist_ok=False)
            # Whoever may write in its directory may write it too: several users may share a key.
            self._ledger.chmod(self._ledger.parent.stat().st_mode & 0o666)
        db = sqlite3.connect(self._ledger, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_TABLES)
        except sqlite3.Error:
            db.close()
            raise
        weakref.finalize(self, db.close)  # for an owner that is never closed, such as a Dagster resource
        return db

    def close(self) -> None:
        """Close the ledger; the next use opens it again."""
        with self._lock:
            if "_db" in self.__dict__:
                self._db.close()
                del self._db
