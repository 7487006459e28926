"""The quarantine of all page sets together, and the records in it that were given up. Which records go there is decided
in `sources.neows.parse`.

A discard is kept by the record's content, in a file of its own, and leaves the tables as they are. So computing a page
set again does not bring the record back, and two processes that discard at once do not overwrite each other.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from neo_assets.lake import layout, raw_pages, tables
from neo_assets.lake.storage import LakeDamaged, LakeLacks, Storage
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE, with_landed
from neo_assets.schema.tables import QUARANTINE, RAW_PAGE_INDEX

LINES = "lines"
"""Field of a stored page of landed objects: for each object, its line of the landed file, from 1."""


@dataclass(frozen=True)
class Quarantined:
    """A record that could not be read."""

    id: str
    """SHA-256 of the record, hexadecimal."""
    page_set: str
    page: int
    index: int
    """Its position on the page, from 0."""
    reason: str
    """Why it could not be read."""
    path: str
    """Path of its stored page in the lake."""
    file: str | None
    """The landed file that it came from; None if its page was fetched."""
    record: str
    line: int | None = None
    """Its line of that file, from 1; None if its page was landed whole, or by an earlier version."""

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        if self.line:
            return f"{self.file}, line {self.line}"
        of_file = f"{self.file}, " if self.file else ""
        return f"{of_file}page set {self.page_set}, page {self.page}, near_earth_objects[{self.index}]"


@dataclass(frozen=True)
class Discard:
    """A record that was given up, and why."""

    why: str
    at: datetime
    was: Quarantined


def quarantined(lake: Storage, page_sets: Sequence[str]) -> list[Quarantined]:
    """Records in quarantine, of these page sets and the landed objects, without those that were discarded."""
    keys = tables.stored_page_sets(lake, QUARANTINE, with_landed(page_sets))
    rows = without_discarded(lake, tables.read_page_sets(lake, QUARANTINE, keys))
    index = tables.read_page_sets(lake, RAW_PAGE_INDEX, pc.unique(rows["page_set"]).to_pylist())
    files = dict(zip(index["page"].to_pylist(), index["file"].to_pylist(), strict=True))
    lines = {page: _lines(lake, page) for page in pc.unique(rows["page"]).to_pylist()}
    return [
        Quarantined(
            id=_id(row["record"]),
            path=layout.raw_page(row["page"]),
            file=files.get(row["page"]),
            line=lines[row["page"]].get(row["index"]),
            **row,
        )
        for row in rows.to_pylist()
    ]


def _lines(lake: Storage, page: int) -> dict[int, int]:
    """The lines of a landed file that hold the objects of a page, by position on the page, as far as they are known."""
    if page < FIRST_LANDED_PAGE:
        return {}
    try:
        return dict(enumerate(json.loads(raw_pages.read_page(lake, page).body.to_pybytes()).get(LINES, [])))
    except (LakeDamaged, LakeLacks):
        return {}


def discard(lake: Storage, records: Sequence[Quarantined], why: str) -> None:
    """Give up records: they are left out of the quarantine from now on, and kept with the reason.

    Raises:
        LakeError: the lake cannot be written.
    """
    at = datetime.now(UTC)
    lines = [json.dumps(asdict(Discard(why, at, record)), default=datetime.isoformat) for record in records]
    content = "\n".join(lines).encode()
    lake.write(layout.discarded(at, hashlib.sha256(content).hexdigest()), content)


def discards(lake: Storage) -> Iterator[Discard]:
    """All records that were discarded, oldest first. What is damaged of them counts as not discarded."""
    for info in lake.files(layout.DISCARDED):
        for line in lake.read(info.path).to_pybytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found = json.loads(line)
                yield Discard(found["why"], datetime.fromisoformat(found["at"]), Quarantined(**found["was"]))


def without_discarded(lake: Storage, rows: pa.Table) -> pa.Table:
    """Rows of `quarantine` whose records were not discarded."""
    return without(given_up(lake), rows) if rows.num_rows else rows


def given_up(lake: Storage) -> set[str]:
    """The ids of all records that were discarded."""
    return {one.was.id for one in discards(lake)}


def without(given_up: Collection[str], rows: pa.Table) -> pa.Table:
    """Rows of `quarantine` but for records with these ids."""
    return rows.filter(pa.array([_id(record) not in given_up for record in rows["record"].to_pylist()], pa.bool_()))


def _id(record: str) -> str:
    return hashlib.sha256(record.encode()).hexdigest()
