"""The outbox table for Django: what writes it in the transaction of a connection, and what empties it."""

from __future__ import annotations

from django.db import connections

from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.outbox.outbox import Outbox
from audit_trail_publisher.outbox.rows import INSERT, OutboxRow


class DjangoOutbox:
    """An `OutboxWriter` on the database `using`: ``trail.within(DjangoOutbox())`` within `transaction.atomic`."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def write(self, row: OutboxRow) -> None:
        """Insert `row` in the open transaction. Raises `ConfigurationError` without one: it would be a commit apart."""
        connection = connections[self._using]
        if not connection.in_atomic_block:
            raise ConfigurationError(
                "a transactional event needs a transaction: use `transaction.atomic()` or ATOMIC_REQUESTS"
            )
        with connection.cursor() as cursor:
            cursor.execute(INSERT, row.parameters())


def django_outbox(using: str = "default") -> Outbox:
    """What empties the table, for ``Publisher(..., outbox=django_outbox())``: it connects as Django does."""
    database = connections[using]
    return Outbox(lambda: database.get_new_connection(database.get_connection_params()))
