"""Every path in the lake, relative to its root. Only this module builds paths; it reads and writes nothing."""

from datetime import date, datetime

from neo_assets.schema.columns import Table

RAW_PAGES = "bronze/raw_pages"
"""Directory of the stored Browse pages."""

SOURCE_MARK = "lake.json"
"""File that names the source of the lake's pages."""

DISCARDED = "quarantine/discarded"
"""Directory of the records that were given up."""

AUDIT = "audit"
"""Directory of the audit."""

INCIDENTS = "alerts/incidents.json"
"""File of the incidents that are open, or still to be reported to a channel."""

ALERTS_LEASES = "alerts/leases"
"""Directory of the leases of processes that send alerts."""

ACCEPTED = "accepted"
"""Directory of the accepted snapshots."""

PRODUCTS = "products"
"""Directory of the files that people take away."""

PRODUCTS_INDEX = f"{PRODUCTS}/index.json"
"""File that says from what each product was made."""

WORK = "work"
"""Directory of the reports that were made for clients and not collected yet."""

INDEX_LEASES = "leases/products"
"""Directory of the leases of processes that change that file; not beside it, as people take everything there away."""


def raw_page(number: int) -> str:
    """Path of a stored Browse page."""
    return f"{RAW_PAGES}/page-{number:05d}.json.zst"


def table_root(table: Table) -> str:
    """Directory of a table, for query engines."""
    return f"{table.layer}/{table.name}" if table.layer else table.name


def table_file(table: Table, page_set: str | None = None) -> str:
    """Path of a table's file: for one page set, or the only file if the table is not partitioned."""
    if table.partitioned != (page_set is not None):
        raise ValueError(f"{table.name} is {'' if table.partitioned else 'not '}partitioned by page set")
    return f"{table_root(table)}/page_set={page_set}/data.parquet" if page_set else f"{table_root(table)}/data.parquet"


def page_set_of(path: str, table: Table) -> str | None:
    """The page set of a table's file, from its path; None if the path is not a file of the table."""
    page_set = path.removeprefix(f"{table_root(table)}/page_set=").partition("/")[0]
    return page_set if path == table_file(table, page_set) else None


def raw_page_number(path: str) -> int | None:
    """The number of a stored page, from its path; None if the path is not a stored page."""
    number = path.rpartition("-")[2].partition(".")[0]
    return int(number) if number.isdecimal() and path == raw_page(int(number)) else None


def landed(name: str) -> str:
    """Path of a file in the landing zone; with an empty name, the zone itself, with a trailing slash."""
    return f"landing/{name}"


def archived(name: str, day: date) -> str:
    """Path of a landed file that was read in on this day."""
    return f"archive/{day:%Y/%m/%d}/{name}"


def set_aside(name: str) -> str:
    """Path of a landed file that could not be read."""
    return f"quarantine/landing/{name}"


def discarded(at: datetime, digest: str) -> str:
    """Path of the records that were given up together: when, and the digest of the file's content."""
    return f"{DISCARDED}/{at:%Y-%m-%dT%H-%M-%S.%f}-{digest[:8]}.ndjson"


def audit_of(day: date) -> str:
    """Directory of what was done in runs created on this day (UTC)."""
    return f"{AUDIT}/date={day}"


def audit(day: date, run_id: str) -> str:
    """Path of what was done in a run created on this day (UTC)."""
    return f"{audit_of(day)}/{run_id}.parquet"


def lease(directory: str, number: int) -> str:
    """Path of a lease by its number; in the order of paths, later ones come last."""
    return f"{directory}/{number:012d}.json"


def number_of_lease(path: str) -> int:
    """The number of a lease, from its path."""
    return int(path.rpartition("/")[2].removesuffix(".json"))


def accepted_directory(pages: int) -> str:
    """Directory of the accepted snapshots of this many pages, the oldest first by name."""
    return f"{ACCEPTED}/pages={pages}"


def accepted(pages: int, at: datetime, digest: str) -> str:
    """Path of a snapshot that was accepted at a time: its number of pages, and the digest of the file's content."""
    return f"{accepted_directory(pages)}/{at:%Y-%m-%dT%H-%M-%S.%f}-{digest[:8]}.json"


def product(name: str) -> str:
    """Path of a product, such as `neo.duckdb`."""
    return f"{PRODUCTS}/{name}"


def report_at_work(job_id: str, retries: int, form: str) -> str:
    """Path of a report as it was made: its request, how often that was given back, and its format."""
    return f"{WORK}/{job_id}-{retries}.{form}"


def request_of(path: str) -> str:
    """The request that a report was made for, from the path that `report_at_work` returned."""
    return path.removeprefix(f"{WORK}/").partition("-")[0]


def report(job_id: str, form: str) -> str:
    """Path of a report that was collected, by its request and format."""
    return f"reports/{job_id}/report.{form}"


def damaged_product(name: str, digest: str) -> str:
    """Path where a damaged product is kept: its file's name, and the digest of its content."""
    return f"quarantine/products/{digest[:8]}-{name}"


def reason_of(path: str) -> str:
    """Path of the text file that states why the file at `path` was set aside."""
    return f"{path}.reason.txt"


def is_reason(path: str) -> bool:
    """Whether a path is one that `reason_of` returns."""
    return path.endswith(reason_of(""))
