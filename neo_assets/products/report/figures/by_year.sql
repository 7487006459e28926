/*
place: 2
title: Near misses of Earth per year
text: >
  Approaches closer than 0.2 au, which NeoWs lists for old and new orbits alike. Years with large surveys have more, as more objects
  are found. Past ones end with the newest page of the snapshot; later ones are predicted, and only for objects that are known today.
  In the year of the snapshot, predicted near misses are stacked on past ones.
none: The lake has no near miss of Earth.
finding: >
  SELECT format('Most past near misses: {:d}, with {:,d}; most predicted: {:d}, with {:,d}.', arg_max(year, past_approaches),
  max(past_approaches), arg_max(year, predicted_approaches), max(predicted_approaches)) FROM figure
columns:
  year: {label: Year, format: d}
  past_approaches: {label: Past near misses, series: past}
  predicted_approaches: {label: Predicted near misses, series: predicted}
chart:
  transform: [{calculate: datum.year + 1, as: next}]
  mark: {type: bar, binSpacing: 0}
  encoding:
    x: {field: year, type: quantitative, bin: binned, scale: {zero: false, nice: false}, axis: {format: d, tickCount: 8}}
    x2: {field: next}
    y: {field: number, type: quantitative, title: Near misses of Earth}
    color: {field: series, scale: {domain: [past, predicted]}}
*/
SELECT
    CAST(EXTRACT(YEAR FROM a.close_approach_date) AS INTEGER) AS year,
    COUNT(CASE WHEN NOT a.is_predicted THEN 1 END) AS past_approaches,
    COUNT(CASE WHEN a.is_predicted THEN 1 END) AS predicted_approaches
FROM approaches AS a
CROSS JOIN snapshot AS s
WHERE a.orbiting_body = 'Earth' AND a.miss_distance_au < s.near_miss_au
GROUP BY year
ORDER BY year
