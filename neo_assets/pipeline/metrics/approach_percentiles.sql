/*
name: approach_percentiles
description: >-
  Percentiles of miss distance and velocity of close approaches, per orbiting body, past and predicted alike. Between two
  values, they are interpolated. Of Earth, they mix orbits whose approaches NASA cut at 0.5 au and at 0.2 au.
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
-- Engines interpolate percentile_cont differently, in the last digits; so the arithmetic is written out. Places count in
-- hundredths of a row.
WITH wanted AS (
    SELECT
        orbiting_body,
        percentile,
        percentile * steps - percentile * steps % 100 AS place,
        percentile * steps % 100 AS share
    FROM (SELECT orbiting_body, count(*) - 1 AS steps FROM close_approaches GROUP BY orbiting_body) AS counted
    CROSS JOIN (VALUES (5), (25), (50), (75), (95)) AS percentiles (percentile)
),
ranked AS (
    SELECT
        orbiting_body,
        miss_distance_au AS au,
        relative_velocity_km_s AS km_s,
        100 * row_number() OVER (PARTITION BY orbiting_body ORDER BY miss_distance_au) - 100 AS place_au,
        100 * row_number() OVER (PARTITION BY orbiting_body ORDER BY relative_velocity_km_s) - 100 AS place_km_s
    FROM close_approaches
),
around AS (
    SELECT
        wanted.orbiting_body,
        percentile,
        share,
        min(CASE WHEN place_au = place THEN au END) AS au,
        max(CASE WHEN place_au - place IN (0, 100) THEN au END) AS next_au,
        min(CASE WHEN place_km_s = place THEN km_s END) AS km_s,
        max(CASE WHEN place_km_s - place IN (0, 100) THEN km_s END) AS next_km_s
    FROM wanted
    JOIN ranked ON ranked.orbiting_body = wanted.orbiting_body
    GROUP BY wanted.orbiting_body, percentile, share
)
SELECT
    orbiting_body,
    percentile,
    au + (next_au - au) * share / 100 AS miss_distance_au,
    km_s + (next_km_s - km_s) * share / 100 AS relative_velocity_km_s
FROM around
