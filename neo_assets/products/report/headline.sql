SELECT 'NEOs' AS what, neos AS number FROM snapshot
UNION ALL
SELECT 'potentially hazardous NEOs', COUNT(*) FROM hazardous
UNION ALL
SELECT 'NEOs that Sentry watches', COUNT(*) FROM sentry_objects
UNION ALL
SELECT 'past approaches to Earth', COUNT(*) FROM approaches WHERE orbiting_body = 'Earth' AND NOT is_predicted
UNION ALL
SELECT 'predicted approaches to Earth', COUNT(*) FROM approaches WHERE orbiting_body = 'Earth' AND is_predicted
