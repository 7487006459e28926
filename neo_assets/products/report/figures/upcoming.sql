/*
place: 1
title: What passes Earth in the next 60 days
text: >
  The closest approaches to Earth from the day of the report to 60 days ahead, at most 100 of them. All of them are predicted.
  One lunar distance (LD) is 384,400 km.
none: No approach to Earth is listed for these 60 days.
finding: >
  SELECT format('{:,d} {}{}; the closest: {} on {}, at {:.2f} LD; {:,d} of potentially hazardous NEOs.', every.approaches,
  if(every.approaches = 1, 'approach', 'approaches'),
  if(every.approaches > count(*), format(', of which the table shows the {:d} closest', count(*)), ''),
  arg_min(name, miss_distance_ld), strftime(arg_min(close_approach_at, miss_distance_ld), '%Y-%m-%d'), min(miss_distance_ld),
  every.hazardous) FROM figure CROSS JOIN (SELECT count(*) AS approaches,
  count(*) FILTER (is_potentially_hazardous_asteroid) AS hazardous FROM upcoming_approaches WHERE is_predicted) AS every
  GROUP BY every.approaches, every.hazardous
columns:
  close_approach_at: {label: Time (UTC)}
  name: {label: NEO}
  miss_distance_ld: {label: Miss distance (LD), format: ",.2f"}
  relative_velocity_km_s: {label: Velocity (km/s), format: ",.1f"}
  absolute_magnitude_h: {label: H (mag), format: ",.1f"}
  diameter_from_h_m: {label: Diameter from H (m)}
  hazard: {label: Potentially hazardous}
chart:
  mark: {type: point, filled: true, size: 60, opacity: 0.85}
  encoding:
    x: {field: close_approach_at, type: temporal}
    y: {field: miss_distance_ld, type: quantitative}
    color: {field: hazard, scale: {domain: [hazardous, not hazardous, not known]}}
    shape: {field: hazard, scale: {domain: [hazardous, not hazardous, not known], range: [triangle-up, circle, square]}}
*/
SELECT
    u.close_approach_at,
    REGEXP_REPLACE(u.name, '^\(([^()]*)\)$', '\1') AS name,
    u.miss_distance_ld,
    u.relative_velocity_km_s,
    u.absolute_magnitude_h,
    format('{:,.0f} to {:,.0f}', u.estimated_diameter_min_m, u.estimated_diameter_max_m) AS diameter_from_h_m,
    CASE
        WHEN u.is_potentially_hazardous_asteroid THEN 'hazardous'
        WHEN NOT u.is_potentially_hazardous_asteroid THEN 'not hazardous'
        ELSE 'not known'
    END AS hazard,
    n.nasa_jpl_url
FROM (
    SELECT *
    FROM upcoming_approaches
    WHERE is_predicted
    ORDER BY miss_distance_ld, neo_id
    LIMIT 100
) AS u
JOIN neos AS n ON n.id = u.neo_id
ORDER BY u.close_approach_at, u.neo_id
