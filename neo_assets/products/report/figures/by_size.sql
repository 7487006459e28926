/*
place: 7
title: NEOs by size
text: >
  The size follows from the absolute magnitude H alone, with an albedo of 0.14; a diameter estimated in this way may be wrong by a
  factor of two.
none: The lake has no NEOs.
finding: >
  SELECT format('Largest class: {}, with {:,d} of {:,d} NEOs, {:,d} of them potentially hazardous.',
  arg_max(size_class_from_h, neos), max(neos), sum(neos)::BIGINT, arg_max(hazardous_neos, neos))
  FROM (SELECT *, hazardous_neos + other_neos + unknown_neos AS neos FROM figure)
columns:
  size_class_from_h: {label: Size class from H}
  hazardous_neos: {label: Potentially hazardous NEOs, series: hazardous}
  other_neos: {label: Other NEOs, series: not hazardous}
  unknown_neos: {label: NEOs of which it is not known, series: not known}
  past_approaches_to_earth: {label: Past approaches to Earth}
  predicted_approaches_to_earth: {label: Predicted approaches to Earth}
chart:
  mark: {type: bar}
  encoding:
    y: {field: size_class_from_h, type: nominal, sort: null, title: null}
    x: {field: number, type: quantitative, title: NEOs}
    color: {field: series, scale: {domain: [hazardous, not hazardous, not known]}}
*/
SELECT
    size_class_from_h,
    hazardous_neos,
    neos - hazardous_neos - unknown_neos AS other_neos,
    unknown_neos,
    past_approaches_to_earth,
    predicted_approaches_to_earth
FROM by_size
JOIN (
    SELECT size_class_from_h, COUNT(*) FILTER (is_potentially_hazardous_asteroid IS NULL) AS unknown_neos
    FROM neos_with_size
    GROUP BY size_class_from_h
) USING (size_class_from_h)
ORDER BY array_position(['1 km and larger', '140 m to 1 km', '30 m to 140 m', 'smaller than 30 m', 'unknown'], size_class_from_h)
