/*
name: approaches_by_size_class
description: Close approaches, per orbiting body and size class, past and predicted alike. Sizes are estimated from H alone.
reads:
  close_approaches: [orbiting_body]
  neo_records: [absolute_magnitude_h]
grain:
  orbiting_body:
    type: string
    description: The body approached, as NASA spells it.
    source: near_earth_objects[].close_approach_data[].orbiting_body
  size_class_from_h:
    type: string
    description: >-
      Size class by absolute magnitude H: diameters of 1 km, 140 m and 30 m are H 17.75, 22.02 and 25.37 at an albedo of
      0.14, the average that CNEOS assumes (https://cneos.jpl.nasa.gov/stats/size.html).
    choices: [1 km and larger, 140 m to 1 km, 30 m to 140 m, smaller than 30 m, unknown]
numbers:
  approaches:
    type: int64
    unit: approaches
    description: Number of close approaches.
    above: 0
adds_up: sum
of_page_sets: false
*/
SELECT orbiting_body, size_class_from_h, count(*) AS approaches
FROM (
    SELECT
        close_approaches.orbiting_body,
        CASE
            WHEN neo_records.absolute_magnitude_h IS NULL THEN 'unknown'
            WHEN neo_records.absolute_magnitude_h <= 17.75 THEN '1 km and larger'
            WHEN neo_records.absolute_magnitude_h <= 22.02 THEN '140 m to 1 km'
            WHEN neo_records.absolute_magnitude_h <= 25.37 THEN '30 m to 140 m'
            ELSE 'smaller than 30 m'
        END AS size_class_from_h
    FROM close_approaches
    JOIN neo_records ON neo_records.id = close_approaches.neo_id
) AS sized
GROUP BY orbiting_body, size_class_from_h
