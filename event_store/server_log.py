"""What PostgreSQL writes to its own log: never a statement or a row of ours, if its settings are right.

The driver sends values as part of the statement. So a logged statement contains messages and the conditions of
queries, and the details of an error quote rows. Only a superuser, or a login that was granted SET on these parameters,
may change them. Where `migrate` may, it changes them for the database; elsewhere every part warns at its start.
"""

from __future__ import annotations

from typing import NamedTuple

from event_store.database import Connection, sql
from event_store.statement_errors import MissingRightError, statement_errors
from event_store.statements import load

_SQL = load(__package__, "server_log.sql")


class _Parameter(NamedTuple):
    """`safe` are the values with which nothing of a statement is written; `migrate` sets the first one."""

    name: str
    safe: tuple[str, ...]


_PARAMETERS = (
    _Parameter("log_min_error_statement", ("panic",)),
    _Parameter("log_error_verbosity", ("terse",)),
    _Parameter("log_statement", ("none", "ddl")),
    _Parameter("log_min_duration_statement", ("-1",)),
    _Parameter("log_min_duration_sample", ("-1",)),
    _Parameter("log_transaction_sample_rate", ("0",)),
    _Parameter("debug_print_parse", ("off",)),
    _Parameter("debug_print_rewritten", ("off",)),
    _Parameter("debug_print_plan", ("off",)),
    _Parameter("auto_explain.log_min_duration", ("-1",)),
    _Parameter("pgaudit.log", ("none", "")),
)
"""The last two exist where their libraries are loaded. Lower levels of `log_min_error_statement` than `panic` include
the statements that ran when their session was ended."""


class LoggedValues(NamedTuple):
    """A setting with which the server's log can hold personal data, and the statement that corrects it."""

    name: str
    value: str
    correction: str

    def __str__(self) -> str:
        return (
            f"PostgreSQL may write personal data to its log: {self.name} is {self.value};"
            f" let a superuser run: {self.correction}"
        )


def logged_values(connection: Connection) -> list[LoggedValues]:
    """The settings of this session with which the server's log can hold messages, rows or conditions of queries."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["settings"], {"names": [each.name for each in _PARAMETERS]})
        values = dict(cursor.fetchall())
        cursor.execute(_SQL["database"])
        [(database,)] = cursor.fetchall()
    found = []
    for name, safe in _PARAMETERS:
        value = values[name]
        if value is not None and value not in safe:
            correction = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(database), sql.Identifier(*name.split(".")), sql.Literal(safe[0])
            )
            found.append(LoggedValues(name, value, correction.as_string(connection)))
    return found


def correct(connection: Connection) -> None:
    """Correct these settings for later sessions of the database, as far as this login may."""
    with connection.cursor() as cursor:
        for each in logged_values(connection):
            cursor.execute("SAVEPOINT correction")
            try:
                with statement_errors():
                    cursor.execute(each.correction)
            except MissingRightError:
                cursor.execute("ROLLBACK TO SAVEPOINT correction")
            cursor.execute("RELEASE SAVEPOINT correction")
