"""The tables of the outbox, in a database of PostgreSQL. In another database events are recorded after the commit."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from audit_trail_publisher.outbox.outbox import postgresql_tables

_TABLES = ("audit_outbox_rejected", "audit_outbox_slot", "audit_outbox")


def _create(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's signature
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(postgresql_tables())


def _drop(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's signature
    if schema_editor.connection.vendor == "postgresql":
        for table in _TABLES:
            schema_editor.execute(f"DROP TABLE IF EXISTS {table}")


class Migration(migrations.Migration):  # type: ignore[misc]
    """Creates the tables."""

    initial = True
    operations = (migrations.RunPython(_create, _drop),)
