/*
name: approaches_by_orbit_class
description: Close approaches, per orbiting body and class of the NEO's orbit, past and predicted alike.
reads:
  close_approaches: [orbiting_body]
  orbits: [orbit_class]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
  orbit_class:
    type: string
    description: "Class of the orbit: AMO, APO, ATE or IEO; null where NeoWs gives none."
    source: near_earth_objects[].orbital_data.orbit_class.orbit_class_type
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
SELECT close_approaches.orbiting_body, orbits.orbit_class, count(*) AS approaches
FROM close_approaches
JOIN orbits ON orbits.neo_id = close_approaches.neo_id
GROUP BY close_approaches.orbiting_body, orbits.orbit_class
