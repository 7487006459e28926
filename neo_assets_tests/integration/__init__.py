"""End-to-end tests: processes, servers, the Dagster daemon."""
