/*
description: Approaches per calendar year and orbiting body, past and predicted apart.
columns:
  year:
    unit: UTC year
    description: Calendar year of the approaches.
  past_approaches:
    unit: approaches
    description: Number of approaches up to the newest page.
  predicted_approaches:
    unit: approaches
    description: Number of approaches after the newest page.
  closest_past_ld:
    unit: LD
    description: Least miss distance up to the newest page, in lunar distances of 384,400 km; null if there is none.
  closest_predicted_ld:
    unit: LD
    description: Least miss distance after the newest page, in lunar distances of 384,400 km; null if there is none.
*/
SELECT
    CAST(EXTRACT(YEAR FROM close_approach_date) AS INTEGER) AS year,
    orbiting_body,
    COUNT(CASE WHEN NOT is_predicted THEN 1 END) AS past_approaches,
    COUNT(CASE WHEN is_predicted THEN 1 END) AS predicted_approaches,
    MIN(CASE WHEN NOT is_predicted THEN miss_distance_ld END) AS closest_past_ld,
    MIN(CASE WHEN is_predicted THEN miss_distance_ld END) AS closest_predicted_ld
FROM approaches
GROUP BY EXTRACT(YEAR FROM close_approach_date), orbiting_body
ORDER BY year, orbiting_body
