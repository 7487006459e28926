/*
place: 4
title: How close near misses of Earth are
text: >
  Near misses of Earth, which are closer than 0.2 au or 77.8 lunar distances, in steps of 5 lunar distances. Small objects are found
  only when they are near, and few of them are predicted.
none: The lake has no near miss of Earth.
finding: >
  SELECT format('Closer than 5 LD: {:,d} past and {:,d} predicted near misses, of {:,d} past and {:,d} predicted in all.',
  coalesce(sum(past_approaches) FILTER (from_ld = 0), 0)::BIGINT, coalesce(sum(predicted_approaches) FILTER (from_ld = 0), 0)::BIGINT,
  sum(past_approaches)::BIGINT, sum(predicted_approaches)::BIGINT) FROM figure
columns:
  from_ld: {label: From (LD)}
  to_ld: {label: Below (LD)}
  past_approaches: {label: Past near misses, series: past}
  predicted_approaches: {label: Predicted near misses, series: predicted}
chart:
  mark: {type: bar}
  encoding:
    x: {field: from_ld, type: ordinal, title: Miss distance from (LD), axis: {labelAngle: 0}}
    xOffset: {field: series}
    y: {field: number, type: quantitative, title: Near misses of Earth}
    color: {field: series, scale: {domain: [past, predicted]}}
*/
SELECT
    CAST(FLOOR(a.miss_distance_ld / 5) * 5 AS INTEGER) AS from_ld,
    from_ld + 5 AS to_ld,
    COUNT(CASE WHEN NOT a.is_predicted THEN 1 END) AS past_approaches,
    COUNT(CASE WHEN a.is_predicted THEN 1 END) AS predicted_approaches
FROM approaches AS a
CROSS JOIN snapshot AS s
WHERE a.orbiting_body = 'Earth' AND a.miss_distance_au < s.near_miss_au
GROUP BY from_ld
ORDER BY from_ld
