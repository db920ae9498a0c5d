-- name: insert_head
INSERT INTO audit_trail.tree_head (size, root, signed_at, note)
VALUES (%(size)s, %(root)s, %(signed_at)s, %(note)s);

-- name: insert_key
INSERT INTO audit_trail.log_key (vkey, first_size)
VALUES (%(vkey)s, %(first_size)s)
ON CONFLICT DO NOTHING;

-- name: keys
SELECT first_size, vkey FROM audit_trail.log_key ORDER BY first_size, added_at, vkey;

-- name: head
-- The head of exactly `size` events; the newest one when `size` is NULL.
SELECT
    head.size,
    head.root,
    head.signed_at,
    head.note,
    ARRAY(SELECT line FROM audit_trail.cosignature WHERE cosignature.size = head.size ORDER BY received_at, vkey)
FROM audit_trail.tree_head AS head
WHERE %(size)s::bigint IS NULL OR head.size = %(size)s
ORDER BY head.size DESC
LIMIT 1;

-- name: largest_cosigned_head
-- The size of the largest head that any witness has signed.
SELECT max(size) FROM audit_trail.cosignature;

-- name: insert_cosignature
INSERT INTO audit_trail.cosignature (size, vkey, line)
VALUES (%(size)s, %(vkey)s, %(line)s)
ON CONFLICT DO NOTHING;

-- name: witnesses
-- The public keys of the witnesses that have signed the head of `size` events.
SELECT vkey FROM audit_trail.cosignature WHERE size = %(size)s ORDER BY received_at, vkey;

-- name: largest_cosigned
-- The size of the largest head that this witness has signed.
SELECT coalesce(max(size), 0) FROM audit_trail.cosignature WHERE vkey = %(vkey)s;
