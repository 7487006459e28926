/*
name: approaches_by_hazard
description: Close approaches, per orbiting body, of potentially hazardous asteroids and of others, past and predicted alike.
reads:
  close_approaches: [orbiting_body]
  neo_records: [is_potentially_hazardous_asteroid]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
  is_potentially_hazardous_asteroid:
    type: bool
    description: Whether the NEO is a potentially hazardous asteroid; null where NeoWs does not say.
    source: near_earth_objects[].is_potentially_hazardous_asteroid
    nullable: true
numbers:
  approaches:
    type: int64
    unit: approaches
    description: Number of close approaches.
    above: 0
adds_up: sum
of_page_sets: false
*/
SELECT close_approaches.orbiting_body, neo_records.is_potentially_hazardous_asteroid, count(*) AS approaches
FROM close_approaches
JOIN neo_records ON neo_records.id = close_approaches.neo_id
GROUP BY close_approaches.orbiting_body, neo_records.is_potentially_hazardous_asteroid
