/*
place: 8
title: NEOs by class of orbit
text: >
  Apollos (APO) and Atens (ATE) cross the Earth's orbit, Amors (AMO) stay outside it, Atiras (IEO) inside.
none: The lake has no NEOs.
finding: >
  SELECT format('Largest class: {}, with {:,d} of {:,d} NEOs.', coalesce(arg_max(orbit_class, hazardous_neos + other_neos + unknown_neos), 'unknown'),
  max(hazardous_neos + other_neos + unknown_neos), sum(hazardous_neos + other_neos + unknown_neos)::BIGINT) FROM figure
columns:
  orbit_class: {label: Class of orbit}
  hazardous_neos: {label: Potentially hazardous NEOs, series: hazardous}
  other_neos: {label: Other NEOs, series: not hazardous}
  unknown_neos: {label: NEOs of which it is not known, series: not known}
  past_approaches_to_earth: {label: Past approaches to Earth}
  predicted_approaches_to_earth: {label: Predicted approaches to Earth}
chart:
  mark: {type: bar}
  encoding:
    y: {field: orbit_class, type: nominal, sort: null, title: null}
    x: {field: number, type: quantitative, title: NEOs}
    color: {field: series, scale: {domain: [hazardous, not hazardous, not known]}}
*/
SELECT
    COALESCE(b.orbit_class, 'unknown') AS orbit_class,
    CAST(SUM(b.hazardous_neos) AS BIGINT) AS hazardous_neos,
    CAST(SUM(b.neos - b.hazardous_neos) AS BIGINT) - ANY_VALUE(u.unknown_neos) AS other_neos,
    ANY_VALUE(u.unknown_neos) AS unknown_neos,
    CAST(SUM(b.past_approaches_to_earth) AS BIGINT) AS past_approaches_to_earth,
    CAST(SUM(b.predicted_approaches_to_earth) AS BIGINT) AS predicted_approaches_to_earth
FROM by_orbit_class AS b
JOIN (
    SELECT orbit_class, COUNT(*) FILTER (is_potentially_hazardous_asteroid IS NULL) AS unknown_neos
    FROM neos
    GROUP BY orbit_class
) AS u ON u.orbit_class IS NOT DISTINCT FROM b.orbit_class
GROUP BY 1
ORDER BY SUM(b.neos) DESC, 1
