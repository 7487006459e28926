/*
description: >
  Approaches to Earth within one lunar distance (384,400 km), past and predicted, in the order of time.
*/
SELECT
    neo_id,
    name,
    close_approach_at,
    is_predicted,
    miss_distance_au,
    miss_distance_ld,
    miss_distance_km,
    relative_velocity_km_s,
    absolute_magnitude_h,
    estimated_diameter_min_m,
    estimated_diameter_max_m,
    is_potentially_hazardous_asteroid
FROM approaches
WHERE orbiting_body = 'Earth' AND miss_distance_ld < 1
ORDER BY close_approach_at, neo_id
