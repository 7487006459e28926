/*
name: near_miss_count
total: total_near_misses
description: Near misses, per orbiting body, past and predicted alike.
reads:
  close_approaches: [orbiting_body, miss_distance_au]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
numbers:
  near_misses:
    type: int64
    unit: approaches
    description: Number of close approaches with a miss distance below 0.2 au.
    above: 0
adds_up: sum
parameters:
  near_miss_au: 0.2
*/
SELECT orbiting_body, count(*) AS near_misses
FROM close_approaches
WHERE miss_distance_au < $near_miss_au
GROUP BY orbiting_body
