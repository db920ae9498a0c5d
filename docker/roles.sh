#!/bin/sh
# Create the logins of the parts. This is the only script that uses the superuser's login. See roles.sql.
set -eu
exec psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'EOF'
\set owner_password `cut -d: -f5 /run/secrets/owner.pgpass`
\set ingest_password `cut -d: -f5 /run/secrets/ingest.pgpass`
\set project_password `cut -d: -f5 /run/secrets/project.pgpass`
\set serve_password `cut -d: -f5 /run/secrets/serve.pgpass`
\set guard_password `cut -d: -f5 /run/secrets/guard.pgpass`
\set watch_password `cut -d: -f5 /run/secrets/watch.pgpass`
\set forward_password `cut -d: -f5 /run/secrets/forward.pgpass`
\i /docker/roles.sql
EOF
