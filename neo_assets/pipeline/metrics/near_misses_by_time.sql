/*
name: near_misses_by_time
description: >-
  Near misses, per orbiting body, past and predicted apart, as of the time at which the newest page arrived.
reads:
  close_approaches: [close_approach_at, orbiting_body, miss_distance_au]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
  time:
    type: string
    description: "`predicted`: later than the newest page. `past`: all others."
    choices: [past, predicted]
numbers:
  near_misses:
    type: int64
    unit: approaches
    description: Number of close approaches with a miss distance below 0.2 au.
    above: 0
adds_up: never
parameters:
  near_miss_au: 0.2
*/
SELECT orbiting_body, time, count(*) AS near_misses
FROM (
    SELECT orbiting_body, CASE WHEN close_approach_at > $newest_page_at THEN 'predicted' ELSE 'past' END AS time
    FROM close_approaches
    WHERE miss_distance_au < $near_miss_au
) AS near
GROUP BY orbiting_body, time
