"""Names and shapes of the data: tables, columns, pages, page sets. Nothing here reads, writes or computes."""
