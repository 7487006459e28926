-- Near misses over all page sets, each NEO counted once. Sets that hold superseded copies are counted again without them
-- (`close_approaches` holds only those sets); for all other sets, the existing counts are used.
WITH
affected AS (SELECT DISTINCT page_set FROM superseded),
counts AS (
    SELECT orbiting_body, near_misses FROM near_miss_count ANTI JOIN affected USING (page_set)
    UNION ALL
    SELECT orbiting_body, 1 FROM close_approaches ANTI JOIN superseded USING (page_set, neo_id)
    WHERE miss_distance_au < $near_miss_au
)
SELECT orbiting_body, sum(near_misses)::BIGINT AS near_misses
FROM counts
GROUP BY orbiting_body
ORDER BY orbiting_body
