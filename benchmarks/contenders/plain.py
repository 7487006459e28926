"""The exercise as a plain script: one page after the other with httpx and json, one Parquet file with pandas.

It keeps no pages, checks nothing and starts again from the first page if it fails.
"""

import json
import os
from collections import Counter
from typing import Any

import httpx
import pandas as pd


def record(neo: dict[str, Any]) -> dict[str, Any]:
    """One row about an object, with its closest approach to any body."""
    closest = min(neo["close_approach_data"], key=lambda it: float(it["miss_distance"]["kilometers"]), default=None)
    size = neo.get("estimated_diameter", {}).get("meters", {})
    orbit = neo["orbital_data"]
    return {
        "id": neo["id"],
        "neo_reference_id": neo["neo_reference_id"],
        "name": neo["name"],
        "name_limited": neo.get("name_limited"),
        "designation": neo["designation"],
        "nasa_jpl_url": neo["nasa_jpl_url"],
        "absolute_magnitude_h": neo.get("absolute_magnitude_h"),
        "is_potentially_hazardous_asteroid": neo["is_potentially_hazardous_asteroid"],
        "minimum_estimated_diameter_m": size.get("estimated_diameter_min"),
        "maximum_estimated_diameter_m": size.get("estimated_diameter_max"),
        "closest_miss_distance_km": float(closest["miss_distance"]["kilometers"]) if closest else None,
        "closest_date": closest["close_approach_date"] if closest else None,
        "closest_velocity_km_s": float(closest["relative_velocity"]["kilometers_per_second"]) if closest else None,
        "first_observation_date": orbit["first_observation_date"],
        "last_observation_date": orbit["last_observation_date"],
        "observations_used": orbit["observations_used"],
        "orbital_period": float(orbit["orbital_period"]),
    }


def main() -> None:
    """Fetch all pages, write the records and print the totals."""
    records = []
    near_misses: Counter[str] = Counter()
    approaches: Counter[str] = Counter()
    with httpx.Client(headers={"X-Api-Key": os.environ["NASA_API_KEYS"]}, timeout=60) as http:
        for page in range(int(os.environ["NEO_PAGES"])):
            response = http.get(f"{os.environ['NEOWS_BASE_URL']}/neo/browse", params={"page": page, "size": 20})
            response.raise_for_status()
            for neo in json.loads(response.content)["near_earth_objects"]:
                records.append(record(neo))
                for approach in neo["close_approach_data"]:
                    approaches[approach["close_approach_date"][:4]] += 1
                    if float(approach["miss_distance"]["astronomical"]) < 0.2:
                        near_misses[approach["orbiting_body"]] += 1
    pd.DataFrame(records).to_parquet("neo_records.parquet")
    print(json.dumps({"near_misses": near_misses, "approaches": approaches}))


if __name__ == "__main__":
    main()
