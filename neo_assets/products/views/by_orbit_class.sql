/*
description: NEOs per class of orbit, the largest class first, with their approaches to Earth, past and predicted apart.
columns:
  neos:
    unit: NEOs
    description: Number of NEOs.
  hazardous_neos:
    unit: NEOs
    description: Number of them that are potentially hazardous.
  past_approaches_to_earth:
    unit: approaches
    description: Number of their approaches to Earth up to the newest page.
  predicted_approaches_to_earth:
    unit: approaches
    description: Number of their approaches to Earth after the newest page.
*/
SELECT
    n.orbit_class,
    n.orbit_class_description,
    COUNT(*) AS neos,
    COUNT(CASE WHEN n.is_potentially_hazardous_asteroid THEN 1 END) AS hazardous_neos,
    CAST(COALESCE(SUM(e.past), 0) AS BIGINT) AS past_approaches_to_earth,
    CAST(COALESCE(SUM(e.predicted), 0) AS BIGINT) AS predicted_approaches_to_earth
FROM neos_with_size AS n
LEFT JOIN (
    SELECT
        neo_id,
        COUNT(CASE WHEN NOT is_predicted THEN 1 END) AS past,
        COUNT(CASE WHEN is_predicted THEN 1 END) AS predicted
    FROM approaches
    WHERE orbiting_body = 'Earth'
    GROUP BY neo_id
) AS e ON e.neo_id = n.id
GROUP BY n.orbit_class, n.orbit_class_description
ORDER BY neos DESC, n.orbit_class
