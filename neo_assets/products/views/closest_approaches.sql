/*
description: Each NEO's closest approach to Earth in NeoWs's years, past or predicted, the closest first.
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
FROM (
    SELECT
        approaches.*,
        ROW_NUMBER() OVER (PARTITION BY neo_id ORDER BY miss_distance_km, close_approach_at) AS place
    FROM approaches
    WHERE orbiting_body = 'Earth'
) AS ranked
WHERE place = 1
ORDER BY miss_distance_km, neo_id
