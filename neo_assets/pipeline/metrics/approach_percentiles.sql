/*
name: approach_percentiles
description: >-
  Percentiles of miss distance and velocity of close approaches, per orbiting body. Between two values, they are
  interpolated.
reads:
  close_approaches: [orbiting_body, miss_distance_au, relative_velocity_km_s]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
  percentile:
    type: int32
    unit: "%"
    description: Share of the approaches.
numbers:
  miss_distance_au:
    type: double
    unit: au
    description: Percentile of the miss distances.
    source: near_earth_objects[].close_approach_data[].miss_distance.astronomical
    minimum: 0
  relative_velocity_km_s:
    type: double
    unit: km/s
    description: Percentile of the velocities relative to the orbiting body.
    source: near_earth_objects[].close_approach_data[].relative_velocity.kilometers_per_second
    above: 0
adds_up: never
*/
WITH at_ranks AS (
    SELECT
        orbiting_body,
        percentile_cont(0.05) WITHIN GROUP (ORDER BY miss_distance_au) AS au_5,
        percentile_cont(0.05) WITHIN GROUP (ORDER BY relative_velocity_km_s) AS km_s_5,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY miss_distance_au) AS au_25,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY relative_velocity_km_s) AS km_s_25,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY miss_distance_au) AS au_50,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY relative_velocity_km_s) AS km_s_50,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY miss_distance_au) AS au_75,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY relative_velocity_km_s) AS km_s_75,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY miss_distance_au) AS au_95,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY relative_velocity_km_s) AS km_s_95
    FROM close_approaches
    GROUP BY orbiting_body
)
SELECT orbiting_body, 5 AS percentile, au_5 AS miss_distance_au, km_s_5 AS relative_velocity_km_s FROM at_ranks
UNION ALL
SELECT orbiting_body, 25 AS percentile, au_25 AS miss_distance_au, km_s_25 AS relative_velocity_km_s FROM at_ranks
UNION ALL
SELECT orbiting_body, 50 AS percentile, au_50 AS miss_distance_au, km_s_50 AS relative_velocity_km_s FROM at_ranks
UNION ALL
SELECT orbiting_body, 75 AS percentile, au_75 AS miss_distance_au, km_s_75 AS relative_velocity_km_s FROM at_ranks
UNION ALL
SELECT orbiting_body, 95 AS percentile, au_95 AS miss_distance_au, km_s_95 AS relative_velocity_km_s FROM at_ranks
ORDER BY orbiting_body, percentile
