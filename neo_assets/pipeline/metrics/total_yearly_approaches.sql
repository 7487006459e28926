-- Close approaches over all page sets, each NEO once. A set that holds superseded copies is counted again without them
-- (`close_approaches` has those sets only); all other sets are taken as they were counted.
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
