"""Asset checks: what Dagster shows as proof of the stored data. How the data is made lives in `pipeline`."""
