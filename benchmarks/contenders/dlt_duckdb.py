"""The exercise with dlt: its REST API source loads every field into DuckDB, and SQL does the rest."""

import json
import os
from pathlib import Path

import dlt
import duckdb
from dlt.sources.rest_api import rest_api_source

RECORDS = """
CREATE TABLE neo_records AS
SELECT
    id, neo_reference_id, name, name_limited, designation, nasa_jpl_url, absolute_magnitude_h,
    is_potentially_hazardous_asteroid,
    estimated_diameter__meters__estimated_diameter_min AS minimum_estimated_diameter_m,
    estimated_diameter__meters__estimated_diameter_max AS maximum_estimated_diameter_m,
    closest.*,
    orbital_data__first_observation_date AS first_observation_date,
    orbital_data__last_observation_date AS last_observation_date,
    orbital_data__observations_used AS observations_used,
    orbital_data__orbital_period::DOUBLE AS orbital_period
FROM raw.neos
LEFT JOIN (
    SELECT
        _dlt_parent_id,
        min(miss_distance__kilometers::DOUBLE) AS closest_miss_distance_km,
        arg_min(close_approach_date, miss_distance__kilometers::DOUBLE) AS closest_date,
        arg_min(relative_velocity__kilometers_per_second::DOUBLE, miss_distance__kilometers::DOUBLE)
            AS closest_velocity_km_s
    FROM raw.neos__close_approach_data
    GROUP BY ALL
) AS closest ON _dlt_id = _dlt_parent_id
"""
NEAR_MISSES = """
SELECT orbiting_body, count(*)
FROM raw.neos__close_approach_data
WHERE miss_distance__astronomical::DOUBLE < 0.2
GROUP BY ALL
"""
APPROACHES = """
SELECT year(close_approach_date::DATE)::VARCHAR, count(*)
FROM raw.neos__close_approach_data
GROUP BY ALL
"""


def main() -> None:
    """Load all pages into DuckDB, derive the records and print the totals."""
    dlt.config["runtime.dlthub_telemetry"] = False
    source = rest_api_source(
        {
            "client": {
                "base_url": os.environ["NEOWS_BASE_URL"],
                "auth": {"type": "api_key", "name": "X-Api-Key", "api_key": os.environ["NASA_API_KEYS"]},
                "paginator": {
                    "type": "page_number",
                    "base_page": 0,
                    "total_path": "page.total_pages",
                    "maximum_page": int(os.environ["NEO_PAGES"]),
                },
            },
            "resources": [
                {
                    "name": "neos",
                    "primary_key": "id",
                    "write_disposition": "replace",
                    "endpoint": {"path": "neo/browse", "params": {"size": 20}, "data_selector": "near_earth_objects"},
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "neows",
        destination=dlt.destinations.duckdb("neows.duckdb"),
        dataset_name="raw",
        pipelines_dir=str(Path("pipelines").absolute()),
    )
    # dlt's default for DuckDB, INSERT statements, takes minutes and gigabytes for 200,000 approaches.
    pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()
    with duckdb.connect("neows.duckdb") as database:
        database.execute(RECORDS)
        near_misses = dict(database.execute(NEAR_MISSES).fetchall())
        approaches = dict(database.execute(APPROACHES).fetchall())
    print(json.dumps({"near_misses": near_misses, "approaches": approaches}))


if __name__ == "__main__":
    main()
