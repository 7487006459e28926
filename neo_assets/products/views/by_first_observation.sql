/*
description: >
  NEOs per year of their first observation, which may precede their discovery: old images are searched for new objects.
columns:
  year:
    unit: UTC year
    description: Calendar year of the first observation; null if it is unknown.
  neos:
    unit: NEOs
    description: Number of NEOs.
  hazardous_neos:
    unit: NEOs
    description: Number of them that are potentially hazardous.
*/
SELECT
    CAST(EXTRACT(YEAR FROM first_observation_date) AS INTEGER) AS year,
    COUNT(*) AS neos,
    COUNT(CASE WHEN is_potentially_hazardous_asteroid THEN 1 END) AS hazardous_neos
FROM neos
GROUP BY EXTRACT(YEAR FROM first_observation_date)
ORDER BY year NULLS LAST
