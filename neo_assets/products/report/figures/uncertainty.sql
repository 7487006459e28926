/*
place: 12
title: How well orbits are known
text: >
  NEOs by the uncertainty parameter U of the Minor Planet Center, from 0 (well known) to 9. The predicted approaches of NEOs with a
  large U may move by days.
none: No uncertainty of an orbit is known.
finding: >
  SELECT format('{:,d} of {:,d} NEOs have the best known orbits, with U = 0.',
  coalesce(sum(neos) FILTER (orbit_uncertainty = '0'), 0)::BIGINT, sum(neos)::BIGINT) FROM figure
columns:
  orbit_uncertainty: {label: Uncertainty U}
  neos: {label: NEOs}
  median_data_arc_days: {label: Median time between first and last observation (days), format: ",.0f"}
chart:
  mark: {type: bar}
  encoding:
    x: {field: orbit_uncertainty, type: ordinal, axis: {labelAngle: 0}}
    y: {field: neos, type: quantitative}
*/
SELECT
    COALESCE(CAST(orbit_uncertainty AS VARCHAR), 'unknown') AS orbit_uncertainty,
    COUNT(*) AS neos,
    MEDIAN(data_arc_days) AS median_data_arc_days
FROM neos
GROUP BY 1
ORDER BY 1
