/*
description: >
  Potentially hazardous NEOs, the largest first, each with its next approach to Earth after the snapshot. Hazardous means an orbit
  that comes within 0.05 au of Earth's and an H of at most 22; it does not mean that an impact is expected.
columns:
  next_approach_at:
    unit: UTC
    description: Time of the next approach to Earth after the snapshot, a prediction; null if none is listed.
  next_miss_distance_au:
    unit: au
    description: Miss distance of that approach in au.
  next_miss_distance_ld:
    unit: LD
    description: Miss distance of that approach in lunar distances of 384,400 km.
*/
SELECT
    n.id AS neo_id,
    n.name,
    n.absolute_magnitude_h,
    n.size_class_from_h,
    n.estimated_diameter_min_m,
    n.estimated_diameter_max_m,
    n.earth_moid_au,
    n.orbit_class,
    n.orbit_uncertainty,
    n.is_sentry_object,
    a.close_approach_at AS next_approach_at,
    a.miss_distance_au AS next_miss_distance_au,
    a.miss_distance_ld AS next_miss_distance_ld
FROM neos_with_size AS n
LEFT JOIN (
    SELECT
        approaches.*,
        ROW_NUMBER() OVER (PARTITION BY neo_id ORDER BY close_approach_at) AS place
    FROM approaches
    WHERE orbiting_body = 'Earth' AND is_predicted
) AS a ON a.neo_id = n.id AND a.place = 1
WHERE n.is_potentially_hazardous_asteroid
ORDER BY n.absolute_magnitude_h, n.id
