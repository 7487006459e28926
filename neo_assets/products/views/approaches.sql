/*
description: >
  Every close approach beside the NEO that makes it, with its distance in lunar distances, and whether it is past or predicted.
columns:
  miss_distance_ld:
    unit: LD
    description: Miss distance in lunar distances of 384,400 km.
  is_predicted:
    description: Whether the approach is later than the newest page of the snapshot, so that it is a prediction.
*/
SELECT
    a.neo_id,
    n.name,
    a.close_approach_at,
    a.close_approach_date,
    a.orbiting_body,
    a.close_approach_at > s.newest_page_at AS is_predicted,
    a.miss_distance_au,
    a.miss_distance_km / s.lunar_distance_km AS miss_distance_ld,
    a.miss_distance_km,
    a.relative_velocity_km_s,
    n.absolute_magnitude_h,
    n.size_class_from_h,
    n.estimated_diameter_min_m,
    n.estimated_diameter_max_m,
    n.is_potentially_hazardous_asteroid,
    n.orbit_class
FROM close_approaches AS a
LEFT JOIN neos_with_size AS n ON n.id = a.neo_id
CROSS JOIN snapshot AS s
