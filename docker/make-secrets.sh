#!/bin/sh
# Make a password for each login, in docker/secrets/, and name the user who may read them, in docker/.env. What is there
# already stays as it is. Remove a file and run this again, with `docker compose up`, to change that password.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
for link in secrets secrets/* .env; do
    [ ! -L "$link" ] || { echo "docker/$link is a link: remove it" >&2; exit 2; }
done

made() {  # FILE PREFIX: a line of PREFIX and a new password of 256 bits
    [ -e "secrets/$1" ] || printf '%s%s\n' "$2" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > "secrets/$1"
}
made superuser-password ''
for part in owner ingest project serve guard; do
    made "$part.pgpass" "*:*:*:trail_$part:"
done
[ -e secrets/superuser.pgpass ] \
    || printf '*:*:*:postgres:%s\n' "$(cat secrets/superuser-password)" > secrets/superuser.pgpass

# The parts run as whoever owns these files, because nobody else may read them; never as root.
user="$(id -u):$(id -g)"
if [ "$(id -u)" = 0 ]; then
    user=10001:10001
    chown -R "$user" secrets
fi
[ -e .env ] || cp example.env .env
grep -q '^TRAIL_USER=' .env || printf 'TRAIL_USER=%s\n' "$user" >> .env
