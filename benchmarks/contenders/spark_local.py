"""The exercise with Spark on two cores, over pages that are stored already, one file each, in the directory PAGES.

It fetches nothing.
"""

import json
import os

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

SCHEMA = """
near_earth_objects ARRAY<STRUCT<
    id: STRING, neo_reference_id: STRING, name: STRING, name_limited: STRING, designation: STRING, nasa_jpl_url: STRING,
    absolute_magnitude_h: DOUBLE, is_potentially_hazardous_asteroid: BOOLEAN,
    estimated_diameter: STRUCT<meters: STRUCT<estimated_diameter_min: DOUBLE, estimated_diameter_max: DOUBLE>>,
    close_approach_data: ARRAY<STRUCT<
        close_approach_date: STRING, orbiting_body: STRING,
        miss_distance: STRUCT<astronomical: STRING, kilometers: STRING>,
        relative_velocity: STRUCT<kilometers_per_second: STRING>>>,
    orbital_data: STRUCT<
        first_observation_date: STRING, last_observation_date: STRING, observations_used: INT, orbital_period: STRING>>>
"""
CLOSEST = """
array_min(transform(close_approach_data, it -> named_struct(
    'km', double(it.miss_distance.kilometers), 'date', it.close_approach_date,
    'km_s', double(it.relative_velocity.kilometers_per_second))))
"""


def main() -> None:
    """Read all pages, write the records and approaches, and print the totals."""
    spark = (
        SparkSession.builder.master("local[2]")
        .appName("neows")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    pages = spark.read.schema(SCHEMA).json(os.environ["PAGES"])
    neos = pages.select(f.explode("near_earth_objects").alias("neo")).select("neo.*")
    neos.withColumn("closest", f.expr(CLOSEST)).selectExpr(
        *("id", "neo_reference_id", "name", "name_limited", "designation", "nasa_jpl_url", "absolute_magnitude_h"),
        "is_potentially_hazardous_asteroid",
        *("estimated_diameter.meters.*", "closest.*"),
        *("orbital_data.first_observation_date", "orbital_data.last_observation_date"),
        *("orbital_data.observations_used", "double(orbital_data.orbital_period) AS orbital_period"),
    ).write.parquet("neo_records")
    neos.select("id", f.explode("close_approach_data").alias("it")).selectExpr(
        "id AS neo_id",
        "date(it.close_approach_date) AS date",
        "it.orbiting_body AS body",
        "double(it.miss_distance.astronomical) AS au",
        "double(it.miss_distance.kilometers) AS km",
        "double(it.relative_velocity.kilometers_per_second) AS km_s",
    ).write.parquet("close_approaches")
    approaches = spark.read.parquet("close_approaches")
    near_misses = approaches.where("au < 0.2").groupBy("body").count().collect()
    by_year = approaches.groupBy(f.year("date").cast("string")).count().collect()
    spark.stop()
    print(json.dumps({"near_misses": dict(map(tuple, near_misses)), "approaches": dict(map(tuple, by_year))}))


if __name__ == "__main__":
    main()
