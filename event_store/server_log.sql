-- name: settings
-- The settings of this session that decide what of a statement PostgreSQL writes to its log; NULL where the server does
-- not know one.
SELECT
    wanted.name,
    current_setting(wanted.name, true)
FROM unnest(%(names)s::text []) WITH ORDINALITY AS wanted (name, place)
ORDER BY wanted.place ASC;

-- name: database
SELECT current_database()::text;
