"""The graph as Dagster sees it: assets, checks, jobs, schedules, sensors. All of Dagster is here, and nothing else."""
