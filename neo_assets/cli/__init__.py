"""The `neo` command: starts work and reports it. The work itself lives in `pipeline` and in the graph."""
