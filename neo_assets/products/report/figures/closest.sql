/*
place: 3
title: The closest approaches to Earth
text: >
  The 100 closest past approaches and the 100 closest predicted ones. One lunar distance is 384,400 km; the distances are of
  centres, and the Earth's radius is 0.017 LD.
none: The lake has no approach to Earth.
finding: >
  SELECT concat_ws(' ', 'Closest', string_agg(words, '; ' ORDER BY kind) || '.') FROM (SELECT kind, format('{}: {} on {}, at {:.3f} LD',
  kind, arg_min(name, miss_distance_ld), strftime(arg_min(close_approach_at, miss_distance_ld), '%Y-%m-%d'), min(miss_distance_ld))
  AS words FROM figure GROUP BY kind)
columns:
  close_approach_at: {label: Time (UTC)}
  name: {label: NEO}
  kind: {label: Past or predicted}
  miss_distance_ld: {label: Miss distance (LD), format: ",.3f"}
  miss_distance_km: {label: Miss distance (km), format: ",.0f"}
  relative_velocity_km_s: {label: Velocity (km/s), format: ",.1f"}
  absolute_magnitude_h: {label: H (mag), format: ",.1f"}
chart:
  mark: {type: point, filled: true, size: 40, opacity: 0.8}
  encoding:
    x: {field: close_approach_at, type: temporal}
    y: {field: miss_distance_ld, type: quantitative, scale: {type: log}}
    color: {field: kind, scale: {domain: [past, predicted]}}
    shape: {field: kind, scale: {domain: [past, predicted], range: [circle, diamond]}}
*/
SELECT
    c.close_approach_at,
    REGEXP_REPLACE(c.name, '^\(([^()]*)\)$', '\1') AS name,
    CASE WHEN c.is_predicted THEN 'predicted' ELSE 'past' END AS kind,
    c.miss_distance_ld,
    c.miss_distance_km,
    c.relative_velocity_km_s,
    c.absolute_magnitude_h,
    n.nasa_jpl_url
FROM (
    (FROM approaches WHERE orbiting_body = 'Earth' AND NOT is_predicted ORDER BY miss_distance_km, neo_id LIMIT 100)
    UNION ALL
    (FROM approaches WHERE orbiting_body = 'Earth' AND is_predicted ORDER BY miss_distance_km, neo_id LIMIT 100)
) AS c
JOIN neos AS n ON n.id = c.neo_id
ORDER BY c.miss_distance_km, c.neo_id, c.close_approach_at
