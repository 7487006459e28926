"""The index of the products, `products/index.json`: from what each was made, and its size and digests, readable without
the product itself. Making a product lives in a module of its own.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa

from neo_assets.lake import layout, mark
from neo_assets.lake.lease import Busy, leased_in_turn
from neo_assets.lake.storage import LakeError, Storage

_LEASE = timedelta(seconds=20)
"""The index is small: it is read and written within a few seconds even on a slow network."""


@dataclass(frozen=True)
class Made:
    """A product as it was made last."""

    origin: str
    """Digest of everything that it was made from."""
    source: str
    """Source of its data: `nasa` or `simulator`."""
    rows: int
    """Number of rows in it, or of other items."""
    bytes: int
    sha256: str
    digest: str
    """What `Storage.digests` returns while the file is unchanged."""
    made_at: datetime


def read(lake: Storage) -> dict[str, Made]:
    """The products by file name; empty if the index is missing or damaged, so that all are made again.

    Raises:
        LakeError: the index cannot be read.
    """
    try:
        return msgspec.json.decode(lake.read(layout.PRODUCTS_INDEX).to_pybytes(), type=dict[str, Made])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def current(lake: Storage, name: str, origin: str) -> Made | None:
    """The product, if it was made from this origin, and its file has not been changed or lost since; else None.

    Raises:
        LakeError: the lake cannot be read.
    """
    made = read(lake).get(name)
    if not made or made.origin != origin:
        return None
    path = layout.product(name)
    return made if lake.digests([path]).get(path) == made.digest else None


def store(lake: Storage, name: str, data: bytes | pa.Buffer, origin: str, rows: int) -> Made:
    """Write a product, then its entry in the index.

    Processes write the index one after the other, so none loses the entry of another.

    Args:
        lake: the lake.
        name: the file name of the product.
        data: its content.
        origin: a digest of everything that it was made from.
        rows: how many rows, or other items, are in it.

    Raises:
        LakeError: the product or the index cannot be written; an older product is left as it was.
    """
    digest = lake.write(layout.product(name), data)
    made = Made(
        origin=origin,
        source=mark.last_read(lake) or "unknown",
        rows=rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        digest=digest,
        made_at=datetime.now(UTC),
    )
    try:
        with leased_in_turn(lake, layout.INDEX_LEASES, _LEASE):
            entries = {product: asdict(one) for product, one in (read(lake) | {name: made}).items()}
            text = json.dumps(entries, indent=2, sort_keys=True, default=datetime.isoformat)
            lake.write(layout.PRODUCTS_INDEX, f"{text}\n".encode())
    except Busy:
        where = lake.location(layout.PRODUCTS_INDEX)
        raise LakeError(
            f"{where} was kept by other processes for a minute: run this again when they are done"
        ) from None
    return made
