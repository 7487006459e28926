/*
name: yearly_approaches
total: total_yearly_approaches
description: Close approaches, per year and orbiting body, past and predicted alike.
reads:
  close_approaches: [close_approach_date, orbiting_body]
grain:
  year:
    type: int32
    unit: UTC year
    description: Calendar year of the close approaches.
    source: near_earth_objects[].close_approach_data[].close_approach_date
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
numbers:
  approaches:
    type: int64
    unit: approaches
    description: Number of close approaches.
    above: 0
adds_up: sum
*/
SELECT extract(year FROM close_approach_date) AS year, orbiting_body, count(*) AS approaches
FROM close_approaches
GROUP BY extract(year FROM close_approach_date), orbiting_body
