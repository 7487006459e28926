/*
name: lunar_distance_passes
description: Close approaches to Earth within one lunar distance (384,400 km), per year, past and predicted alike.
reads:
  close_approaches: [close_approach_date, orbiting_body, miss_distance_km]
grain:
  year:
    type: int32
    unit: UTC year
    description: Calendar year of the close approaches.
    source: near_earth_objects[].close_approach_data[].close_approach_date
numbers:
  passes:
    type: int64
    unit: approaches
    description: Number of close approaches to Earth with a miss distance below one lunar distance.
    above: 0
adds_up: sum
of_page_sets: false
parameters:
  lunar_distance_km: 384400
*/
SELECT extract(year FROM close_approach_date) AS year, count(*) AS passes
FROM close_approaches
WHERE orbiting_body = 'Earth' AND miss_distance_km < $lunar_distance_km
GROUP BY extract(year FROM close_approach_date)
