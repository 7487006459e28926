"""Every path in the lake, relative to its root. The only place that builds one; reading and writing live beside it."""

from neo_assets.schema import Table

SOURCE_MARK = "lake.json"
"""Says which source the lake's pages come from."""

_STOREYS = {
    "raw_page_index": "bronze",
    "catalogue_stats": "bronze",
    "neo_records": "silver",
    "close_approaches": "silver",
    "neo_sightings": "silver",
    "near_miss_count": "gold",
    "yearly_approaches": "gold",
    "total_near_misses": "gold",
    "total_yearly_approaches": "gold",
    "snapshot": "gold",
}


def raw_page(number: int) -> str:
    """Path of a stored Browse page."""
    return f"bronze/raw_pages/page-{number:05d}.json.zst"


def table_root(table: Table) -> str:
    """Directory of a table: what a query engine is pointed at."""
    return f"{_STOREYS[table.name]}/{table.name}" if table.name in _STOREYS else table.name


def table_file(table: Table, page_set: str | None = None) -> str:
    """Path of a table's file: of one page set, or of the whole table where it is not partitioned."""
    if table.partitioned != (page_set is not None):
        raise ValueError(f"{table.name} is {'' if table.partitioned else 'not '}partitioned by page set")
    return f"{table_root(table)}/page_set={page_set}/data.parquet" if page_set else f"{table_root(table)}/data.parquet"


def page_set_of(path: str) -> str | None:
    """The page set that a table's file belongs to, by its path; None where it names none."""
    parts = [part.removeprefix("page_set=") for part in path.split("/") if part.startswith("page_set=")]
    return parts[-1] if parts else None
