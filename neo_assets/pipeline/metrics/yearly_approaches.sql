-- Close approaches of one page set, by calendar year (UTC) and orbiting body.
SELECT year(close_approach_date) AS year, orbiting_body, count(*) AS approaches
FROM close_approaches
GROUP BY ALL
ORDER BY year, orbiting_body
