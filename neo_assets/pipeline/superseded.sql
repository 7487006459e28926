-- Superseded copies of NEOs, by page set: another set holds a later copy of the same object.
-- Two copies are of the same object if they share the id, or the principal designation: an object that is numbered gets
-- another id but keeps its provisional designation.
SELECT page_set, neo_id
FROM (
    SELECT
        page_set,
        neo_id,
        row_number() OVER (PARTITION BY neo_id ORDER BY fetched_at DESC, page DESC, page_set DESC) AS by_id,
        row_number() OVER (
            PARTITION BY principal_designation ORDER BY fetched_at DESC, page DESC, page_set DESC
        ) AS by_designation
    FROM neo_sightings
    WHERE is_counted
) AS copies
WHERE by_id > 1 OR by_designation > 1
ORDER BY page_set, neo_id
