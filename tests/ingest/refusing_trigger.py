"""A trigger that refuses some rows as the database itself might."""

from __future__ import annotations

from contextlib import closing

import psycopg2

REFUSE = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF position('unstorable' IN encode({bytes}, 'escape')) > 0 THEN
        RAISE 'too large' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON audit_trail.{table} FOR EACH ROW EXECUTE FUNCTION public.refuse()
"""


def refuse(url: str, table: str, bytes: str, code: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(REFUSE.format(table=table, bytes=bytes, code=code))
