/*
description: >
  Approaches to Earth from today (UTC) to 60 days ahead, the next one first, with the columns of CNEOS's table of close approaches. The
  diameters are estimated from H.
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
    AND close_approach_date BETWEEN CAST(now() AT TIME ZONE 'UTC' AS DATE)
    AND CAST(now() AT TIME ZONE 'UTC' AS DATE) + INTERVAL '60' DAY
ORDER BY close_approach_at, neo_id
