SELECT
    snapshot.*,
    CURRENT_DATE AS day,
    CURRENT_DATE - CAST(oldest_page_at AS DATE) AS days_old
FROM snapshot
