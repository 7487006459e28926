/*
name: first_observations
description: NEOs, per year of their first observation, which may be older than their discovery.
reads:
  neo_records: [first_observation_date]
grain:
  year:
    type: int32
    unit: UTC year
    description: Calendar year of the first observation.
    source: near_earth_objects[].orbital_data.first_observation_date
numbers:
  neos:
    type: int64
    unit: NEOs
    description: Number of NEOs first observed in this year.
    above: 0
adds_up: sum
of_page_sets: false
*/
SELECT extract(year FROM first_observation_date) AS year, count(*) AS neos
FROM neo_records
WHERE first_observation_date IS NOT NULL
GROUP BY extract(year FROM first_observation_date)
