#!/bin/sh
# Create a password for each login in docker/secrets/, and write the user who may read them to docker/.env. Create the
# folders of exports and of followers. Existing files stay unchanged. To change a password, remove its file, run this again, and run `docker compose up`.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets exports forwarding
for link in secrets secrets/* exports forwarding .env; do
    [ ! -L "$link" ] || { echo "docker/$link is a link: remove it" >&2; exit 2; }
done

made() {  # FILE PREFIX: a line of PREFIX and a new password of 256 bits
    [ -e "secrets/$1" ] || printf '%s%s\n' "$2" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > "secrets/$1"
}
made superuser-password ''
for part in owner ingest project serve guard watch forward; do
    made "$part.pgpass" "*:*:*:trail_$part:"
done
[ -e secrets/superuser.pgpass ] \
    || printf '*:*:*:postgres:%s\n' "$(cat secrets/superuser-password)" > secrets/superuser.pgpass

# The parts run as the owner of these files, because nobody else can read them; never as root.
user="$(id -u):$(id -g)"
if [ "$(id -u)" = 0 ]; then
    user=10001:10001
    chown -R "$user" secrets exports forwarding
fi
[ -e .env ] || cp example.env .env
grep -q '^TRAIL_USER=' .env || printf 'TRAIL_USER=%s\n' "$user" >> .env
