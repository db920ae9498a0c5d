-- name: cosigned_sizes
-- For each witness, the largest sizes above `after` and up to `until` that it has cosigned, `most` at most.
SELECT
    witness.vkey,
    cosigned.size
FROM unnest(%(vkeys)s::text []) AS witness (vkey)
CROSS JOIN LATERAL (
    SELECT size
    FROM audit_trail.cosignature
    WHERE cosignature.vkey = witness.vkey AND cosignature.size > %(after)s AND cosignature.size <= %(until)s
    ORDER BY cosignature.size DESC
    LIMIT %(most)s
) AS cosigned
ORDER BY cosigned.size DESC;
