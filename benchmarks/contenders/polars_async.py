"""The exercise with requests at the same time and quick libraries: async httpx, orjson and polars, two Parquet files.

It keeps no pages, checks nothing, holds all rows in memory and starts again from the first page if it fails.
"""

import asyncio
import os
from typing import Any

import httpx
import orjson
import polars as pl

AT_ONCE = 8


def record(neo: dict[str, Any]) -> dict[str, Any]:
    """One row about an object."""
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
        "first_observation_date": orbit["first_observation_date"],
        "last_observation_date": orbit["last_observation_date"],
        "observations_used": orbit["observations_used"],
        "orbital_period": float(orbit["orbital_period"]),
    }


async def fetch(pages: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The objects and approaches of all pages."""
    turn = asyncio.Semaphore(AT_ONCE)
    records: list[dict[str, Any]] = []
    approaches: list[tuple[str, str, str, str, str, str]] = []
    names = ("neo_id", "date", "body", "au", "km", "km_s")

    async with httpx.AsyncClient(headers={"X-Api-Key": os.environ["NASA_API_KEYS"]}, timeout=60) as http:

        async def one(page: int) -> None:
            async with turn:
                response = await http.get(
                    f"{os.environ['NEOWS_BASE_URL']}/neo/browse", params={"page": page, "size": 20}
                )
            response.raise_for_status()
            for neo in orjson.loads(response.content)["near_earth_objects"]:
                records.append(record(neo))
                approaches.extend(
                    (
                        neo["id"],
                        approach["close_approach_date"],
                        approach["orbiting_body"],
                        approach["miss_distance"]["astronomical"],
                        approach["miss_distance"]["kilometers"],
                        approach["relative_velocity"]["kilometers_per_second"],
                    )
                    for approach in neo["close_approach_data"]
                )

        async with asyncio.TaskGroup() as group:
            for page in range(pages):
                group.create_task(one(page))
    texts = pl.DataFrame(approaches, schema=dict.fromkeys(names, pl.String), orient="row")
    return pl.DataFrame(records, infer_schema_length=None), texts.with_columns(
        pl.col("date").str.to_date(), pl.col("au", "km", "km_s").cast(pl.Float64)
    )


def main() -> None:
    """Fetch all pages, write the records and approaches, and print the totals."""
    records, approaches = asyncio.run(fetch(int(os.environ["NEO_PAGES"])))
    closest = approaches.sort("km").group_by("neo_id").first().select("neo_id", "date", "km", "km_s")
    records.join(closest, left_on="id", right_on="neo_id", how="left").write_parquet("neo_records.parquet")
    approaches.write_parquet("close_approaches.parquet")
    near_misses = approaches.filter(pl.col("au") < 0.2).group_by("body").len()
    by_year = approaches.group_by(pl.col("date").dt.year().cast(pl.String)).len()
    totals = {"near_misses": dict(near_misses.iter_rows()), "approaches": dict(by_year.iter_rows())}
    print(orjson.dumps(totals).decode())


if __name__ == "__main__":
    main()
