/*
description: The 100 fastest approaches to Earth, past or predicted, the fastest first.
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
WHERE orbiting_body = 'Earth'
ORDER BY relative_velocity_km_s DESC, close_approach_at, neo_id
LIMIT 100
