"""The Dagster side: assets, checks, jobs, schedules and sensors. The work itself lives in `pipeline`."""
