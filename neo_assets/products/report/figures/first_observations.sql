/*
place: 11
title: NEOs by year of their first observation
text: >
  The first observation may precede the discovery, as old images are searched for new objects.
none: No first observation is known.
finding: >
  SELECT format('Most first observations: {:d}, with {:,d} NEOs; the first year is {:d}.', arg_max(year, hazardous_neos + other_neos + unknown_neos),
  max(hazardous_neos + other_neos + unknown_neos), min(year)) FROM figure
columns:
  year: {label: Year, format: d}
  hazardous_neos: {label: Potentially hazardous NEOs, series: hazardous}
  other_neos: {label: Other NEOs, series: not hazardous}
  unknown_neos: {label: NEOs of which it is not known, series: not known}
chart:
  transform: [{calculate: datum.year + 1, as: next}]
  mark: {type: bar, binSpacing: 0}
  encoding:
    x: {field: year, type: quantitative, bin: binned, scale: {zero: false, nice: false}, axis: {format: d, tickCount: 8}}
    x2: {field: next}
    y: {field: number, type: quantitative, title: NEOs}
    color: {field: series, scale: {domain: [hazardous, not hazardous, not known]}}
*/
SELECT year, hazardous_neos, neos - hazardous_neos - unknown_neos AS other_neos, unknown_neos
FROM by_first_observation
JOIN (
    SELECT
        EXTRACT(YEAR FROM first_observation_date) AS year,
        COUNT(*) FILTER (is_potentially_hazardous_asteroid IS NULL) AS unknown_neos
    FROM neos
    GROUP BY 1
) USING (year)
WHERE year IS NOT NULL
ORDER BY year
