/*
The approaches to Earth from a day (UTC) on, at most 200: several times as many as a day has. There may be none for days, so they
do not end with a date.
*/
SELECT
    REGEXP_REPLACE(a.name, '^\(([^()]*)\)$', '\1') AS name,
    a.close_approach_at,
    a.miss_distance_ld,
    a.miss_distance_au,
    a.relative_velocity_km_s,
    a.absolute_magnitude_h,
    format('{:,.0f} to {:,.0f}', a.estimated_diameter_min_m, a.estimated_diameter_max_m) AS diameter_from_h_m,
    a.is_potentially_hazardous_asteroid,
    n.nasa_jpl_url
FROM (
    SELECT *
    FROM approaches
    WHERE orbiting_body = 'Earth' AND close_approach_date >= ?
    ORDER BY close_approach_at, neo_id
    LIMIT 200
) AS a
JOIN neos AS n ON n.id = a.neo_id
ORDER BY a.close_approach_at, a.neo_id
