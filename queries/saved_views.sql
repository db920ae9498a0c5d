-- name: list_own
-- A person's views by name.
SELECT owner, view, name, filter, shared_with, position
FROM user_view
WHERE owner = %(owner)s AND NOT deleted AND name IS NOT NULL AND filter IS NOT NULL
ORDER BY name ASC, view ASC
LIMIT %(limit)s;

-- name: find_own
-- One of a person's views.
SELECT owner, view, name, filter, shared_with, position
FROM user_view
WHERE owner = %(owner)s AND view = %(view)s AND NOT deleted AND name IS NOT NULL AND filter IS NOT NULL;

-- name: list_shared
-- The views of others that are shared with one of the roles, by name: so many of each role are read in the order of an
-- index, whatever the number of views is.
SELECT found.owner, found.view, found.name, found.filter, found.shared_with, found.position
FROM
    unnest(%(roles)s::text []) AS role (name)
CROSS JOIN LATERAL (
    SELECT owner, view, name, filter, shared_with, position
    FROM user_view
    WHERE
        shared_with = role.name AND shared_with <> '' AND NOT deleted AND owner <> %(owner)s
        AND filter IS NOT NULL AND (name, view) > (%(after_name)s, %(after_view)s)
    ORDER BY name ASC, view ASC
    LIMIT %(limit)s
) AS found
ORDER BY found.name ASC, found.view ASC
LIMIT %(limit)s;
