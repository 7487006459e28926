/*
description: >
  Every NEO with a size class. The class follows from H alone, with an albedo of 0.14; a diameter estimated in this way may be
  wrong by a factor of two.
columns:
  size_class_from_h:
    description: Size class, derived from H with an albedo of 0.14; `unknown` without H.
*/
SELECT
    neos.*,
    CASE
        WHEN absolute_magnitude_h <= 17.75 THEN '1 km and larger'
        WHEN absolute_magnitude_h <= 22.02 THEN '140 m to 1 km'
        WHEN absolute_magnitude_h <= 25.37 THEN '30 m to 140 m'
        WHEN absolute_magnitude_h IS NOT NULL THEN 'smaller than 30 m'
        ELSE 'unknown'
    END AS size_class_from_h
FROM neos
