-- Close approaches per calendar year (UTC) and orbiting body among those given.
SELECT year(close_approach_date) AS year, orbiting_body, count(*) AS approaches
FROM close_approaches
GROUP BY ALL
ORDER BY year, orbiting_body
