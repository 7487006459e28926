"""Asset checks: Dagster shows them as proof of the stored data. Computing the data lives in `pipeline`."""
