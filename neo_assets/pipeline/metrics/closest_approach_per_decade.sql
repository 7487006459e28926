/*
name: closest_approach_per_decade
description: The closest approach to Earth of each decade, past or predicted.
reads:
  close_approaches:
    [close_approach_at, close_approach_date, orbiting_body, miss_distance_au, miss_distance_km, relative_velocity_km_s]
grain:
  decade:
    type: int32
    unit: UTC year
    description: "First year of the decade: 2020 stands for 2020 to 2029."
    source: near_earth_objects[].close_approach_data[].close_approach_date
numbers:
  miss_distance_km:
    type: double
    unit: km
    description: Miss distance in km.
    source: near_earth_objects[].close_approach_data[].miss_distance.kilometers
    minimum: 0
  close_approach_at:
    type: timestamp
    unit: UTC
    description: Time of the close approach.
    source: near_earth_objects[].close_approach_data[].epoch_date_close_approach
  neo_id:
    type: string
    description: "The NEO's id, `id` in the table of NEOs."
    source: near_earth_objects[].id, else neo_reference_id
  miss_distance_au:
    type: double
    unit: au
    description: Miss distance in au.
    source: near_earth_objects[].close_approach_data[].miss_distance.astronomical
    minimum: 0
  relative_velocity_km_s:
    type: double
    unit: km/s
    description: Velocity relative to Earth.
    source: near_earth_objects[].close_approach_data[].relative_velocity.kilometers_per_second
    above: 0
adds_up: least
of_page_sets: false
*/
WITH to_earth AS (
    SELECT *, extract(year FROM close_approach_date) - extract(year FROM close_approach_date) % 10 AS decade
    FROM close_approaches
    WHERE orbiting_body = 'Earth'
),
nearest AS (
    SELECT decade, min(miss_distance_km) AS miss_distance_km
    FROM to_earth
    GROUP BY decade
),
placed AS (
    SELECT to_earth.*, row_number() OVER (PARTITION BY to_earth.decade ORDER BY close_approach_at, neo_id) AS place
    FROM to_earth
    JOIN nearest ON nearest.decade = to_earth.decade AND nearest.miss_distance_km = to_earth.miss_distance_km
)
SELECT decade, miss_distance_km, close_approach_at, neo_id, miss_distance_au, relative_velocity_km_s
FROM placed
WHERE place = 1
