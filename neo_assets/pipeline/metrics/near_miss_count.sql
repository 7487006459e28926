-- Near misses of one page set, by orbiting body.
SELECT orbiting_body, count(*) AS near_misses
FROM close_approaches
WHERE miss_distance_au < $near_miss_au
GROUP BY orbiting_body
ORDER BY orbiting_body
