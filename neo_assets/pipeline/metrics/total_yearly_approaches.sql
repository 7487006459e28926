-- Close approaches over all page sets, each NEO counted once. Sets that hold superseded copies are counted again without them
-- (`close_approaches` holds only those sets); for all other sets, the existing counts are used.
WITH
affected AS (SELECT DISTINCT page_set FROM superseded),
counts AS (
    SELECT year, orbiting_body, approaches FROM yearly_approaches ANTI JOIN affected USING (page_set)
    UNION ALL
    SELECT year(close_approach_date), orbiting_body, 1 FROM close_approaches ANTI JOIN superseded USING (page_set, neo_id)
)
SELECT year, orbiting_body, sum(approaches)::BIGINT AS approaches
FROM counts
GROUP BY ALL
ORDER BY year, orbiting_body
