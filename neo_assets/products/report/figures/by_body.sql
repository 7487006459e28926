/*
place: 6
title: Approaches by orbiting body
text: >
  NeoWs lists approaches to planets and the Moon, not to Earth alone. For each body it has its own limit of distance, so bodies are
  not comparable with each other.
none: The lake has no approach.
finding: >
  SELECT format('Most past approaches: to {}, with {:,d}; {:,d} to {:d} other bodies.', arg_max(orbiting_body, past_approaches),
  max(past_approaches), (sum(past_approaches) - max(past_approaches))::BIGINT, count(*) - 1) FROM figure
columns:
  orbiting_body: {label: Orbiting body}
  past_approaches: {label: Past approaches, series: past}
  predicted_approaches: {label: Predicted approaches, series: predicted}
  closest_past_ld: {label: Closest past (LD), format: ",.3f"}
  closest_predicted_ld: {label: Closest predicted (LD), format: ",.3f"}
chart:
  mark: {type: bar}
  encoding:
    y: {field: orbiting_body, type: nominal, sort: null, title: null}
    yOffset: {field: series}
    x: {field: number, type: quantitative, title: Approaches}
    color: {field: series, scale: {domain: [past, predicted]}}
*/
SELECT *
FROM by_body
ORDER BY past_approaches DESC, orbiting_body
