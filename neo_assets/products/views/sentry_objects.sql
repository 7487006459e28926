/*
description: >
  NEOs that JPL's Sentry watches, because it finds a chance of an impact within the next hundred years, the largest first.
columns:
  neo_id:
    description: "The NEO: `id` in neos."
*/
SELECT
    id AS neo_id,
    name,
    absolute_magnitude_h,
    size_class_from_h,
    estimated_diameter_min_m,
    estimated_diameter_max_m,
    earth_moid_au,
    orbit_class,
    orbit_uncertainty,
    data_arc_days,
    is_potentially_hazardous_asteroid,
    sentry_url
FROM neos_with_size
WHERE is_sentry_object
ORDER BY absolute_magnitude_h, id
