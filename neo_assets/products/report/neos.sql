/*
The rows of report.csv: each NEO once, with its closest approach to any orbiting body, the earliest on a tie, and to Earth.
*/
SELECT
    n.id AS neo_id,
    REGEXP_REPLACE(n.name, '^\(([^()]*)\)$', '\1') AS name,
    n.designation,
    n.absolute_magnitude_h AS absolute_magnitude_h_mag,
    n.estimated_diameter_min_m AS diameter_min_from_h_m,
    n.estimated_diameter_max_m AS diameter_max_from_h_m,
    n.is_potentially_hazardous_asteroid AS is_potentially_hazardous,
    n.is_sentry_object,
    n.orbit_class,
    n.earth_moid_au,
    strftime(c.closest.close_approach_at, '%Y-%m-%dT%H:%MZ') AS closest_approach_at_utc,
    c.closest.orbiting_body AS orbiting_body,
    c.closest.miss_distance_au AS miss_distance_au,
    ROUND(c.closest.miss_distance_km / s.lunar_distance_km, 4) AS miss_distance_ld,
    c.closest.miss_distance_km AS miss_distance_km,
    c.closest.relative_velocity_km_s AS relative_velocity_km_s,
    c.closest.close_approach_at > s.newest_page_at AS is_predicted,
    strftime(c.closest_to_earth.close_approach_at, '%Y-%m-%dT%H:%MZ') AS closest_to_earth_at_utc,
    ROUND(c.closest_to_earth.miss_distance_km / s.lunar_distance_km, 4) AS closest_to_earth_ld,
    c.closest_to_earth.close_approach_at > s.newest_page_at AS closest_to_earth_is_predicted,
    COALESCE(c.past, 0) AS past_approaches,
    COALESCE(c.predicted, 0) AS predicted_approaches,
    s.source
FROM neos AS n
CROSS JOIN snapshot AS s
LEFT JOIN (
    SELECT
        a.neo_id,
        ARG_MIN(a, {'km': a.miss_distance_km, 'at': a.close_approach_at, 'body': a.orbiting_body}) AS closest,
        ARG_MIN(a, {'km': a.miss_distance_km, 'at': a.close_approach_at})
            FILTER (a.orbiting_body = 'Earth') AS closest_to_earth,
        COUNT(CASE WHEN a.close_approach_at <= b.newest_page_at THEN 1 END) AS past,
        COUNT(CASE WHEN a.close_approach_at > b.newest_page_at THEN 1 END) AS predicted
    FROM close_approaches AS a
    CROSS JOIN snapshot AS b
    GROUP BY a.neo_id
) AS c ON c.neo_id = n.id
ORDER BY n.id
