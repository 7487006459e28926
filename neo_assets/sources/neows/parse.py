"""Parses Browse pages into tables: finds closest approaches, quarantines unreadable objects.

It uses pyarrow's JSON reader, many pages at a time. `pages` checks whether a response is a page; `values` converts and
checks single values.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from neo_assets.schema.facts import DAYS_APART, PROVISIONAL_DESIGNATION, YEARS
from neo_assets.schema.orbits import ORBITS
from neo_assets.schema.page_sets import FIRST_LANDED_PAGE
from neo_assets.schema.pages import Page, StoredPage
from neo_assets.schema.tables import CLOSE_APPROACHES, NEO_RECORDS, NEO_SIGHTINGS, QUARANTINE
from neo_assets.sources.neows.orbits import BESIDE, ORBITAL_DATA, orbits
from neo_assets.sources.neows.pages import ALWAYS_LISTED
from neo_assets.sources.neows.values import (
    Unreadable,
    cast,
    dates,
    finite,
    get,
    in_terms_of_fields,
    not_blank,
    refuse,
    required,
    times,
)

VERSION = 6
"""Version of the output of `parse`. Tables made by another version are stale.

A test over fixed pages fails if the output changes and the version does not.
"""

# Bodies are read together up to this size: enough to use all cores, small enough to keep memory use constant.
_BATCH_BYTES = 16 << 20
_BLOCK_BYTES = 2 << 20

_TEXT = pa.string()
_APPROACH = pa.struct(
    {
        "close_approach_date": _TEXT,
        "epoch_date_close_approach": pa.int64(),
        "relative_velocity": pa.struct({"kilometers_per_second": _TEXT}),
        "miss_distance": pa.struct({"astronomical": _TEXT, "kilometers": _TEXT}),
        "orbiting_body": _TEXT,
    }
)
_DIAMETER = pa.struct({"estimated_diameter_min": pa.float64(), "estimated_diameter_max": pa.float64()})
_NEO = pa.struct(
    {
        "id": _TEXT,
        "neo_reference_id": _TEXT,
        "name": _TEXT,
        "name_limited": _TEXT,
        "designation": _TEXT,
        "nasa_jpl_url": _TEXT,
        "absolute_magnitude_h": pa.float64(),
        "estimated_diameter": pa.struct({"meters": _DIAMETER}),
        "is_potentially_hazardous_asteroid": pa.bool_(),
        "close_approach_data": pa.list_(_APPROACH),
        "orbital_data": pa.struct(ORBITAL_DATA),
    }
    | BESIDE
)
_PAGE = pa.schema({"near_earth_objects": pa.list_(_NEO)})


@dataclass(frozen=True)
class Parsed:
    """The tables parsed from some pages, with rows in the order of pages and of positions on them.

    The first three tables contain each object once; `neo_sightings` also has its older copies.
    """

    neo_records: pa.Table
    orbits: pa.Table
    close_approaches: pa.Table
    neo_sightings: pa.Table
    quarantine: pa.Table


@dataclass(frozen=True)
class _Batch:
    """The objects of some pages; `neo` is, for each approach, the row of its object in `records` and `orbits`."""

    records: pa.Table
    orbits: pa.Table
    approaches: pa.Table
    neo: pa.Array
    sightings: pa.Table


def parse(pages: Iterable[Page | StoredPage]) -> Parsed:
    """Parse pages into tables.

    An object with an unreadable or impossible value goes to the quarantine whole, because with one approach unknown its
    closest approach would be unknown too. So does a landed object without all that Browse lists: it would replace a
    fuller copy. If an object is on several of the pages, the copy fetched last is used.

    Raises:
        ValueError: a body is not JSON. Pages are checked when they are fetched, so a stored one must be damaged.
    """
    batches: list[_Batch] = []
    rejected: list[dict[str, Any]] = []
    for chunk in _chunks(pages):
        for part, bad in _read_or_split(chunk):
            batches.extend(part)
            rejected.extend(bad)
    merged = _merge(batches)
    return Parsed(
        merged.records,
        merged.orbits,
        merged.approaches,
        merged.sightings,
        pa.Table.from_pylist(rejected, schema=QUARANTINE.schema),
    )


def _chunks(pages: Iterable[Page | StoredPage]) -> Iterator[list[Page | StoredPage]]:
    chunk: list[Page | StoredPage] = []
    size = 0
    for page in pages:
        chunk.append(page)
        size += len(page.body)
        if size >= _BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read_or_split(chunk: list[Page | StoredPage]) -> Iterator[tuple[list[_Batch], list[dict[str, Any]]]]:
    """Read pages together; if that fails, page by page; if that fails, object by object."""
    try:
        yield [_read([(page, page.body) for page in chunk])], []
    except (Unreadable, pa.ArrowInvalid):
        if len(chunk) > 1:
            for page in chunk:
                yield from _read_or_split([page])
        else:
            yield _read_each_object(chunk[0])


def _read_each_object(page: Page | StoredPage) -> tuple[list[_Batch], list[dict[str, Any]]]:
    batches, rejected = [], []
    for index, record in enumerate(json.loads(bytes(page.body))["near_earth_objects"]):
        read = _read_object(page, record)
        if isinstance(read, _Batch):
            batches.append(read)
        else:
            reason = _pinpointed(page, record, read)
            rejected.append({"page": page.number, "index": index, "reason": reason, "record": _text(record)})
    return batches, rejected


def _text(record: Any) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace").decode()  # half a surrogate pair stays an escape sequence


def _read_object(page: Page | StoredPage, record: Any) -> _Batch | str:
    """Read one object, or return why it cannot be read."""
    if not isinstance(record, dict):
        return "not an object"
    if "near_earth_objects" in record:
        return "a whole response, not a single object"
    try:
        return _read([(page, b'{"near_earth_objects":[' + _text(record).encode() + b"]}")])
    except Unreadable as error:
        return str(error)
    except pa.ArrowInvalid as error:
        return in_terms_of_fields(str(error))


def _pinpointed(page: Page | StoredPage, record: Any, reason: str) -> str:
    """The reason why an object cannot be read, with the position of the approach that it is in, if it is in one."""
    approaches = record.get("close_approach_data") if isinstance(record, dict) else None
    if not approaches or not isinstance(approaches, list):
        return reason

    def reason_with(some: list[Any]) -> str | None:
        read = _read_object(page, record | {"close_approach_data": some})
        return read if isinstance(read, str) else None

    if own := reason_with([]):
        return own
    first, end = 0, len(approaches)
    while end - first > 1:
        middle = (first + end) // 2
        first, end = (first, middle) if reason_with(approaches[first:middle]) else (middle, end)
    alone = reason_with(approaches[first:end]) or reason
    within = alone.removeprefix("close_approach_data")
    return f"close_approach_data[{first}]" + (within if within != alone else f": {alone}")


def _read(bodies: list[tuple[Page | StoredPage, bytes | pa.Buffer]]) -> _Batch:
    # One line per page. JSON strings contain no line feeds, so those inside a body are white space.
    lines = b"\n".join(bytes(body).replace(b"\n", b" ") for _, body in bodies)
    longest = max(len(body) for _, body in bodies)
    table = arrow_json.read_json(
        pa.BufferReader(lines),
        arrow_json.ReadOptions(block_size=max(_BLOCK_BYTES, 2 * longest)),
        arrow_json.ParseOptions(explicit_schema=_PAGE, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(bodies):
        raise Unreadable("not one JSON object")
    per_page = table.column("near_earth_objects").combine_chunks()
    neos = pc.list_flatten(per_page)
    if neos.null_count:
        raise Unreadable("not an object")
    page_of = pc.list_parent_indices(per_page)
    neo_id = required("id", pc.coalesce(not_blank(get(neos, "id")), not_blank(get(neos, "neo_reference_id"))))
    approaches, neo = _approaches(neos, neo_id)
    records = _records(neos, neo_id, approaches, neo)
    landed = pa.array([page.number >= FIRST_LANDED_PAGE for page, _ in bodies]).take(page_of)
    for name, beside in ALWAYS_LISTED.items():
        is_lacking = pc.and_(pc.is_valid(get(neos, beside)), pc.is_null(get(neos, name)))
        if pc.any(pc.and_(landed, is_lacking)).as_py():
            raise Unreadable(f"{name}: missing, so this is no object of Browse or lookup")
    return _Batch(records, orbits(neos, neo_id), approaches, neo, _sightings(neos, neo_id, page_of, bodies))


def _approaches(neos: pa.StructArray, neo_id: pa.Array) -> tuple[pa.Table, pa.Array]:
    """The approaches of all objects, and the row of each approach's object."""
    lists = get(neos, "close_approach_data")
    flat = pc.list_flatten(lists)
    neo = pc.list_parent_indices(lists)
    if flat.null_count:
        raise Unreadable("close_approach_data: not an object")

    def given(*path: str) -> tuple[str, pa.Array]:
        name = ".".join(("close_approach_data", *path))
        return name, required(name, get(flat, *path))

    def distance(unit: str) -> pa.Array:
        name, texts = given("miss_distance", unit)
        numbers = cast(name, texts, pa.float64())
        return refuse(name, numbers, pc.less(numbers, 0.0), "is below 0")

    def velocity() -> pa.Array:
        name, texts = given("relative_velocity", "kilometers_per_second")
        numbers = cast(name, texts, pa.float64())
        return refuse(name, numbers, pc.less_equal(numbers, 0.0), "is not above 0")

    day = dates(*given("close_approach_date"), YEARS)
    name, epochs = given("epoch_date_close_approach")
    at = times(name, epochs, YEARS)
    apart = pc.abs(pc.days_between(day, pc.cast(at, day.type)))  # far, if the epoch is in seconds
    refuse(name, epochs, pc.greater(apart, DAYS_APART), "is more than a day from close_approach_date")
    columns = [
        neo_id.take(neo),
        at,
        day,
        given("orbiting_body")[1],
        distance("astronomical"),
        distance("kilometers"),
        velocity(),
    ]
    return pa.Table.from_arrays(columns, schema=CLOSE_APPROACHES.schema), neo


def _records(neos: pa.StructArray, neo_id: pa.Array, approaches: pa.Table, neo: pa.Array) -> pa.Table:
    closest = _closest(approaches, neo, len(neos))

    def text(name: str) -> pa.Array:
        return get(neos, name)

    def diameter(name: str) -> pa.Array:
        return finite(f"estimated_diameter.meters.{name}", get(neos, "estimated_diameter", "meters", name))

    def observed(name: str) -> pa.Array:
        return dates(f"orbital_data.{name}", get(neos, "orbital_data", name))

    def orbital(name: str, to: pa.DataType) -> pa.Array:
        return cast(f"orbital_data.{name}", get(neos, "orbital_data", name), to)

    columns = [
        neo_id,
        required("neo_reference_id", text("neo_reference_id")),
        required("name", text("name")),
        text("name_limited"),
        text("designation"),
        text("nasa_jpl_url"),
        finite("absolute_magnitude_h", get(neos, "absolute_magnitude_h")),
        get(neos, "is_potentially_hazardous_asteroid"),
        diameter("estimated_diameter_min"),
        diameter("estimated_diameter_max"),
        closest["miss_distance_km"].combine_chunks(),
        closest["close_approach_date"].combine_chunks(),
        closest["relative_velocity_km_s"].combine_chunks(),
        observed("first_observation_date"),
        observed("last_observation_date"),
        orbital("observations_used", pa.int64()),
        orbital("orbital_period", pa.float64()),
    ]
    return pa.Table.from_arrays(columns, schema=NEO_RECORDS.schema)


def _closest(approaches: pa.Table, neo: pa.Array, neos: int) -> pa.Table:
    """Each object's approach with the smallest miss distance, the earliest on a tie; nulls if it has no approach."""
    keyed = pa.table({"neo": neo, "km": approaches["miss_distance_km"], "at": approaches["close_approach_at"]})
    order = pc.sort_indices(keyed, [("neo", "ascending"), ("km", "ascending"), ("at", "ascending")])
    of = neo.take(order)
    if not len(of):
        return approaches.take(pa.nulls(neos, pa.int64()))
    starts = pa.concat_arrays([pa.array([True]), pc.not_equal(of[1:], of[:-1])])
    return approaches.take(order.filter(starts).take(pc.index_in(pa.array(range(neos), neo.type), of.filter(starts))))


def _sightings(
    neos: pa.StructArray, neo_id: pa.Array, page_of: pa.Array, bodies: list[tuple[Page | StoredPage, bytes | pa.Buffer]]
) -> pa.Table:
    pages = pa.array([page.number for page, _ in bodies], pa.int32())
    times = pa.array([page.fetched_at for page, _ in bodies], NEO_SIGHTINGS.schema.field("fetched_at").type)
    counted = pa.repeat(True, len(neos))
    columns = [
        neo_id,
        _principal_designations(neos, neo_id),
        pages.take(page_of),
        times.take(page_of),
        counted,
    ]
    return pa.Table.from_arrays(columns, schema=NEO_SIGHTINGS.schema)


def _principal_designations(neos: pa.StructArray, neo_id: pa.Array) -> pa.Array:
    """What shows that two objects with different ids are the same: the provisional designation, which an object keeps
    when it is numbered.

    NeoWs's `designation` is the provisional one, or the number; then the name has the provisional one in parentheses.
    Any other text in parentheses, such as the discoverer of comets, is shared by many objects.
    """
    given = not_blank(get(neos, "designation"))
    from_given = pc.extract_regex(given, rf"^(?P<found>{PROVISIONAL_DESIGNATION})$")
    from_name = pc.extract_regex(get(neos, "name"), rf"\((?P<found>{PROVISIONAL_DESIGNATION})\)\s*$")
    return pc.coalesce(get(from_given, "found"), get(from_name, "found"), given, neo_id)


def _merge(batches: list[_Batch]) -> _Batch:
    """All batches as one, without older copies of objects."""
    rows = 0
    neo: list[pa.Array] = []
    for batch in batches:
        neo.append(pc.add(batch.neo, pa.scalar(rows, pa.int64())))
        rows += batch.records.num_rows
    merged = _Batch(
        pa.concat_tables([NEO_RECORDS.schema.empty_table(), *(batch.records for batch in batches)]),
        pa.concat_tables([ORBITS.schema.empty_table(), *(batch.orbits for batch in batches)]),
        pa.concat_tables([CLOSE_APPROACHES.schema.empty_table(), *(batch.approaches for batch in batches)]),
        pa.chunked_array(neo, pa.int64()),
        pa.concat_tables([NEO_SIGHTINGS.schema.empty_table(), *(batch.sightings for batch in batches)]),
    )
    kept = _last_copies(merged.sightings)
    if kept is None:
        return merged
    of_kept = kept.take(merged.neo)
    counted = NEO_SIGHTINGS.schema.get_field_index("is_counted")
    return _Batch(
        merged.records.filter(kept),
        merged.orbits.filter(kept),
        merged.approaches.filter(of_kept),
        merged.neo.filter(of_kept),
        merged.sightings.set_column(counted, NEO_SIGHTINGS.schema.field(counted), kept),
    )


def _last_copies(sightings: pa.Table) -> pa.Array | None:
    """A mask of the copies fetched last, so that each id and principal designation is unique; None to keep all."""
    if all(
        pc.count_distinct(sightings[name]).as_py() == sightings.num_rows for name in ("neo_id", "principal_designation")
    ):
        return None
    placed = sightings.append_column("row", pa.array(range(sightings.num_rows)))
    order = pc.sort_indices(placed, [(name, "descending") for name in ("fetched_at", "page", "row")]).to_pylist()
    ids = sightings["neo_id"].to_pylist()
    designations = sightings["principal_designation"].to_pylist()
    kept = [True] * len(ids)
    seen: set[str] = set()
    for row in order:
        kept[row] = ids[row] not in seen and f"({designations[row]})" not in seen
        seen.update((ids[row], f"({designations[row]})"))
    return pa.array(kept)
