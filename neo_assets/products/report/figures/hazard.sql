/*
place: 9
title: What makes a NEO potentially hazardous
text: >
  NEOs by absolute magnitude H, which is smaller for larger objects, and by the least distance of their orbit from the Earth's (MOID).
  Inside the frame, with a MOID of at most 0.05 au and an H of at most 22, a NEO counts as potentially hazardous; it does not mean
  that an impact is expected. NEOs with a MOID of 0.3 au and more are left out.
none: The lake has no NEO with H and MOID.
finding: >
  SELECT format('{:,d} of {:,d} NEOs shown are potentially hazardous.', sum(hazardous_neos)::BIGINT, sum(neos)::BIGINT) FROM figure
columns:
  h_from: {label: H from (mag)}
  h_to: {label: H below (mag)}
  moid_from_au: {label: MOID from (au), format: ".2f"}
  moid_to_au: {label: MOID below (au), format: ".2f"}
  neos: {label: NEOs}
  hazardous_neos: {label: Potentially hazardous NEOs}
chart:
  layer:
    - mark: {type: rect}
      encoding:
        x: {field: h_from, type: quantitative, title: H (mag), scale: {zero: false, nice: false}}
        x2: {field: h_to}
        y: {field: moid_from_au, type: quantitative, title: MOID (au)}
        y2: {field: moid_to_au}
        color: {field: neos, type: quantitative, scale: {type: log}}
    - data: {values: [{left: 9, right: 22, bottom: 0, top: 0.05}]}
      mark: {type: rect, filled: false, strokeWidth: 2.5, color: "#ee3311"}
      encoding:
        x: {field: left, type: quantitative}
        x2: {field: right}
        y: {field: bottom, type: quantitative}
        y2: {field: top}
*/
SELECT
    CAST(FLOOR(absolute_magnitude_h) AS INTEGER) AS h_from,
    h_from + 1 AS h_to,
    FLOOR(ROUND(earth_moid_au / 0.025, 9)) * 0.025 AS moid_from_au,
    moid_from_au + 0.025 AS moid_to_au,
    COUNT(*) AS neos,
    COUNT(CASE WHEN is_potentially_hazardous_asteroid THEN 1 END) AS hazardous_neos
FROM neos
WHERE absolute_magnitude_h IS NOT NULL AND earth_moid_au < 0.3
GROUP BY h_from, moid_from_au
ORDER BY h_from, moid_from_au
