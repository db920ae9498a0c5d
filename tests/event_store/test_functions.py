"""Every function of the schema audit_trail: whose rights it runs with, its settings, and who may call it."""

from __future__ import annotations

from contextlib import closing

import psycopg2

PATH = "search_path=pg_catalog, pg_temp"
WAITS = "lock_timeout=10s"
CUSTOM, BATCH, OWNER = "audit_trail_custom_owner", "audit_trail_batch", "the owner"

DEFINER = {
    "add_partitions(bigint)": (OWNER, [PATH], ["ingest"]),
    "own_projection(text)": (OWNER, [PATH, WAITS], ["analyst"]),
    "make_own_schema(text,text)": (OWNER, [PATH, WAITS], ["analyst"]),
    "remove_own_projection(text)": (OWNER, [PATH, WAITS], ["analyst"]),
    "count_build()": (OWNER, [PATH], []),
    "batch_rows(text,jsonb,integer)": (BATCH, [PATH, "temp_file_limit=512MB"], ["analyst"]),
    "grant_custom_build(text,text)": (CUSTOM, [PATH], []),
    "make_custom_tables(text,text,jsonb,boolean)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "index_custom_table(text,text,jsonb,integer)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "finish_custom_table(text,text,text)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "drop_custom_partial(text,text,text)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "stage_custom_table(text,text,text)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "delete_custom_build(text,integer)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "forget_custom_ranges(text,integer)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "drop_custom_schema(text,text)": (CUSTOM, [PATH, WAITS], ["analyst"]),
    "request_operation(text,text,text,text,text,text,text[],text)": (
        OWNER,
        [PATH, "lock_timeout=2s"],
        ["reader"],
    ),
    "newest_staff()": (OWNER, [PATH], ["forwarder"]),
    "submit_case_command(uuid,uuid,text,jsonb,text,text,text,text[],text[],text)": (
        OWNER,
        [PATH, "lock_timeout=2s"],
        ["reader"],
    ),
}
"""Functions that run with their owner's rights. A new one is thought about, then added here."""

INVOKER = {
    "refuse_change()": (OWNER, [PATH], []),
    "only_forward()": (OWNER, [PATH], []),
    "refuse_reopening()": (OWNER, [PATH], []),
    "keep_follower()": (OWNER, [PATH], []),
    "keep_watch_numbers()": (OWNER, [PATH], []),
    "keep_follower_change()": (OWNER, [PATH], []),
    "keep_follower_refusal()": (OWNER, [PATH], []),
    "keep_rule_activation()": (OWNER, [PATH], []),
    "keep_request()": (OWNER, [PATH], []),
    "keep_case_command()": (OWNER, [PATH], []),
    "keep_context_version()": (OWNER, [PATH], []),
    "projection_limit(text)": (OWNER, [PATH], ["custom_owner"]),
    "check_custom_list(jsonb,text,integer,integer)": (CUSTOM, [PATH], []),
    "is_reserved_name(text)": (OWNER, [PATH], ["analyst", "projector"]),
    "event_records(bigint[])": (OWNER, [PATH, "enable_bitmapscan=on", "enable_indexscan=off"], ["reader"]),
    "live_builds()": (OWNER, [PATH], ["reader"]),
    "check_custom_build(text,text)": (CUSTOM, [PATH], []),
    "check_custom_name(text,boolean)": (CUSTOM, [PATH], []),
    "custom_type(text)": (CUSTOM, [PATH], []),
    "custom_columns(jsonb,boolean)": (CUSTOM, [PATH], []),
    "custom_names(jsonb)": (CUSTOM, [PATH], []),
    "custom_where(jsonb)": (CUSTOM, [PATH], []),
    "custom_index(text,jsonb,integer)": (CUSTOM, [PATH], []),
}

_ALL = """
SELECT
    replace(function.oid::regprocedure::text, 'audit_trail.', ''),
    CASE WHEN function.proowner = schema.nspowner THEN 'the owner' ELSE function.proowner::regrole::text END,
    ARRAY(SELECT value FROM unnest(function.proconfig) AS value ORDER BY value = %s DESC, value),
    ARRAY(
        SELECT CASE WHEN grantee = 0 THEN 'everybody' ELSE replace(grantee::regrole::text, 'audit_trail_', '') END
        FROM aclexplode(coalesce(function.proacl, acldefault('f', function.proowner)))
        WHERE grantee <> function.proowner ORDER BY 1
    )
FROM pg_proc AS function INNER JOIN pg_namespace AS schema ON function.pronamespace = schema.oid
WHERE schema.nspname = 'audit_trail' AND function.prosecdef = %s
"""


def functions(url: str, *, definer: bool) -> dict[str, tuple[str, list[str], list[str]]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_ALL, (PATH, definer))
        return {name: (owner, settings, callers) for name, owner, settings, callers in cursor.fetchall()}


def test_every_function_with_its_owners_rights_is_listed_here(migrated_url: str) -> None:
    assert functions(migrated_url, definer=True) == DEFINER


def test_every_other_function_is_listed_here(migrated_url: str) -> None:
    assert functions(migrated_url, definer=False) == INVOKER


def test_no_function_can_be_misled_by_the_tables_and_types_of_a_session(migrated_url: str) -> None:
    """pg_temp is searched first unless the path names it."""
    every = functions(migrated_url, definer=True) | functions(migrated_url, definer=False)
    assert [name for name, (_, settings, _) in every.items() if PATH not in settings] == []
