/*
place: 10
title: Velocity and distance of past near misses
text: >
  Past near misses of Earth, closer than 0.2 au, in steps of 5 lunar distances and 2.5 km/s. The velocity is relative to Earth.
none: The lake has no past near miss of Earth.
finding: >
  SELECT format('The commonest velocity is {:.1f} to {:.1f} km/s: {:,d} of {:,d} near misses; the fastest was {:.1f} km/s.',
  arg_max(velocity, near_misses), arg_max(velocity, near_misses) + 2.5, max(near_misses)::BIGINT, sum(near_misses)::BIGINT, max(fastest))
  FROM (SELECT velocity_from_km_s AS velocity, sum(near_misses) AS near_misses, max(fastest_km_s) AS fastest FROM figure GROUP BY 1)
columns:
  from_ld: {label: Distance from (LD)}
  to_ld: {label: Distance below (LD)}
  velocity_from_km_s: {label: Velocity from (km/s), format: ".1f"}
  velocity_to_km_s: {label: Velocity below (km/s), format: ".1f"}
  near_misses: {label: Past near misses}
  fastest_km_s: {label: Fastest (km/s), format: ".1f"}
chart:
  mark: {type: rect}
  encoding:
    x: {field: from_ld, type: quantitative, title: Miss distance (LD), scale: {nice: false}}
    x2: {field: to_ld}
    y: {field: velocity_from_km_s, type: quantitative, title: Velocity (km/s)}
    y2: {field: velocity_to_km_s}
    color: {field: near_misses, type: quantitative, scale: {type: log}}
*/
SELECT
    CAST(FLOOR(a.miss_distance_ld / 5) * 5 AS INTEGER) AS from_ld,
    from_ld + 5 AS to_ld,
    FLOOR(a.relative_velocity_km_s / 2.5) * 2.5 AS velocity_from_km_s,
    velocity_from_km_s + 2.5 AS velocity_to_km_s,
    COUNT(*) AS near_misses,
    MAX(a.relative_velocity_km_s) AS fastest_km_s
FROM approaches AS a
CROSS JOIN snapshot AS s
WHERE a.orbiting_body = 'Earth' AND a.miss_distance_au < s.near_miss_au AND NOT a.is_predicted
GROUP BY from_ld, velocity_from_km_s
ORDER BY from_ld, velocity_from_km_s
