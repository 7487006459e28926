-- Copies of NEOs that do not count, by page set: a later copy of the same object stands in another set.
-- An object is the same by its id, or by its principal designation, which it keeps when it is numbered and its id changes.
SELECT page_set, neo_id
FROM neo_sightings
WHERE is_counted
QUALIFY row_number() OVER (PARTITION BY neo_id ORDER BY fetched_at DESC, page DESC, page_set DESC) > 1
     OR row_number() OVER (PARTITION BY principal_designation ORDER BY fetched_at DESC, page DESC, page_set DESC) > 1
ORDER BY page_set, neo_id
