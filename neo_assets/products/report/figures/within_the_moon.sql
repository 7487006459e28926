/*
place: 5
title: Closer than the Moon, per decade
text: >
  Approaches to Earth within one lunar distance of 384,400 km. Past ones grow with the surveys that find small objects, not with the
  number of objects.
none: The lake has no approach to Earth within one lunar distance.
finding: >
  SELECT format('{:,d} past and {:,d} predicted approaches; most past ones in the decade from {:d}, with {:,d}.',
  sum(past_approaches)::BIGINT, sum(predicted_approaches)::BIGINT, arg_max(decade, past_approaches), max(past_approaches)) FROM figure
columns:
  decade: {label: Decade from, format: d}
  past_approaches: {label: Past approaches, series: past}
  predicted_approaches: {label: Predicted approaches, series: predicted}
  closest_past_ld: {label: Closest past (LD), format: ",.3f"}
  closest_predicted_ld: {label: Closest predicted (LD), format: ",.3f"}
chart:
  mark: {type: bar}
  encoding:
    x: {field: decade, type: ordinal, axis: {labelOverlap: true, labelAngle: 0}}
    y: {field: number, type: quantitative, title: Approaches within 1 LD}
    color: {field: series, scale: {domain: [past, predicted]}}
*/
SELECT
    CAST(FLOOR(EXTRACT(YEAR FROM close_approach_at) / 10.0) * 10 AS INTEGER) AS decade,
    COUNT(CASE WHEN NOT is_predicted THEN 1 END) AS past_approaches,
    COUNT(CASE WHEN is_predicted THEN 1 END) AS predicted_approaches,
    MIN(CASE WHEN NOT is_predicted THEN miss_distance_ld END) AS closest_past_ld,
    MIN(CASE WHEN is_predicted THEN miss_distance_ld END) AS closest_predicted_ld
FROM within_one_lunar_distance
GROUP BY decade
ORDER BY decade
