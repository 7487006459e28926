/*
place: 8
title: NEOs by class of orbit
text: >
  Apollos (APO) and Atens (ATE) cross the Earth's orbit, Amors (AMO) stay outside it, Atiras (IEO) inside.
none: The lake has no NEOs.
finding: >
  SELECT format('Largest class: {}, with {:,d} of {:,d} NEOs.', coalesce(arg_max(orbit_class, hazardous_neos + other_neos), 'unknown'),
  max(hazardous_neos + other_neos), sum(hazardous_neos + other_neos)::BIGINT) FROM figure
columns:
  orbit_class: {label: Class of orbit}
  hazardous_neos: {label: Potentially hazardous NEOs, series: hazardous}
  other_neos: {label: Other NEOs, series: not hazardous}
  past_approaches_to_earth: {label: Past approaches to Earth}
  predicted_approaches_to_earth: {label: Predicted approaches to Earth}
chart:
  mark: {type: bar}
  encoding:
    y: {field: orbit_class, type: nominal, sort: null, title: null}
    x: {field: number, type: quantitative, title: NEOs}
    color: {field: series, scale: {domain: [hazardous, not hazardous]}}
*/
SELECT
    COALESCE(orbit_class, 'unknown') AS orbit_class,
    CAST(SUM(hazardous_neos) AS BIGINT) AS hazardous_neos,
    CAST(SUM(neos - hazardous_neos) AS BIGINT) AS other_neos,
    CAST(SUM(past_approaches_to_earth) AS BIGINT) AS past_approaches_to_earth,
    CAST(SUM(predicted_approaches_to_earth) AS BIGINT) AS predicted_approaches_to_earth
FROM by_orbit_class
GROUP BY 1
ORDER BY SUM(neos) DESC, 1
