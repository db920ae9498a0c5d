"""Statements that write many rows at once. No object changes with them, so they are read or refused."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Result, event, select, tuple_
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, UOWTransaction

from audit_trail_publisher.errors import BulkOperationError
from audit_trail_publisher.record_rule import Operation, RecordRule, is_recorded_by_hand, recorded_by_hand
from audit_trail_publisher.sqlalchemy.row_values import columns_of
from audit_trail_publisher.sqlalchemy.watched import WatchedClasses

_SESSION = "audit_trail_session"
_FLUSH = "audit_trail_flush"
_CHUNK = 500
"""Keys in one statement: databases allow some thousand parameters."""

Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]
Keep = Callable[..., None]


class BulkStatements:
    """Listens to the statements of sessions.

    `records`: read the rows before and after, at most `most`, and record each; otherwise refuse.
    """

    def __init__(self, watched: WatchedClasses, keep: Keep, *, records: bool, most: int) -> None:
        self._watched = watched
        self._keep = keep
        self._records = records
        self._most = most

    def on_flush(self, session: Session, flush: UOWTransaction) -> None:
        """A flush begins: its statements are those of objects."""
        session.info[_FLUSH] = weakref.ref(flush)

    def on_begin(self, session: Session, _: object, connection: Connection) -> None:
        """A session begins to use a connection."""
        connection.info[_SESSION] = weakref.ref(session)
        if not event.contains(connection, "before_execute", self._on_statement):
            event.listen(connection, "before_execute", self._on_statement)

    def on_execute(self, state: ORMExecuteState) -> Result[Any] | None:
        """A session executes a statement that somebody wrote."""
        if not (state.is_insert or state.is_update or state.is_delete) or is_recorded_by_hand():
            return None
        statement: Any = state.statement
        mapper = self._watched.mapper_of(statement.table)
        if mapper is None:
            return None
        mapper = state.bind_mapper
        rule = None if mapper is None else self._watched.rule_of(mapper)
        if not self._records or mapper is None or rule is None:
            raise _refused(statement.table.name, "nothing would record its rows")
        return _Bulk(state, mapper, rule, self._most).run(self._keep)

    def _on_statement(
        self, connection: Connection, statement: Any, _: object, __: object, options: Mapping[str, Any]
    ) -> None:
        """A connection executes a statement: of a flush, of a session, or of somebody who has the connection."""
        if not getattr(statement, "is_dml", False) or is_recorded_by_hand():
            return
        # Statements of the unit of work have a cache of their own; listeners may execute others during a flush.
        if "compiled_cache" in options and _is_flushing(connection.info[_SESSION]()):
            return
        if self._watched.mapper_of(statement.table) is not None:
            raise _refused(
                statement.table.name, "it does not go through `session.execute` or a change of objects"
            )


def _is_flushing(session: Session | None) -> bool:
    flush = session is not None and _FLUSH in session.info and session.info[_FLUSH]()
    transaction = getattr(flush, "transaction", None)
    return transaction is not None and transaction.is_active


class _Bulk:
    """One statement, with the rows before and after."""

    def __init__(self, state: ORMExecuteState, mapper: Mapper[Any], rule: RecordRule, most: int) -> None:
        self._state = state
        self._session = state.session
        self._mapper = mapper
        self._rule = rule
        self._most = most
        self._statement: Any = state.statement
        self._keys = [mapper.get_property_by_column(each).key for each in mapper.primary_key]

    def run(self, keep: Keep) -> Result[Any]:
        """Execute the statement, and record what it has done."""
        if self._state.is_insert or self._state.is_executemany:
            keys = self._given_keys()
            before = self._rows(keys)
        else:
            before = self._matching_rows()
            keys = list(before)
        with recorded_by_hand():
            result: Result[Any] = self._state.invoke_statement()
        if getattr(result, "rowcount", -1) > len(keys):
            raise _refused(self._mapper.class_.__name__, "another transaction has added rows that it changes")
        after = self._rows(keys)
        for key in keys:
            self._record(keep, key, before.get(key), after.get(key))
        return result

    def _record(
        self, keep: Keep, key: Key, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        if before is None and after is None:
            return
        operation = (
            Operation.CREATED if before is None else Operation.DELETED if after is None else Operation.UPDATED
        )
        patients = [id for row in (before, after) if row is not None for id in self._patients(row)]
        keep(self._session, self._mapper, self._rule, operation, key, before, after, patients)

    def _patients(self, row: dict[str, Any]) -> Sequence[str]:
        try:
            return self._rule.patients_of(SimpleNamespace(**row))
        except AttributeError as exc:
            raise _refused(
                self._mapper.class_.__name__, "the patient of a row is not one of its columns"
            ) from exc

    def _given_keys(self) -> list[Key]:
        """The primary keys in the parameters of an INSERT, or of an UPDATE by primary key."""
        if getattr(self._statement, "_post_values_clause", None) is not None:
            raise _refused(self._mapper.class_.__name__, "which rows it changes on a conflict is not known")
        parameters = self._state.parameters
        rows: Any = [parameters] if isinstance(parameters, Mapping) else parameters or []
        if not rows or any(key not in row for row in rows for key in self._keys):
            raise _refused(self._mapper.class_.__name__, "the primary keys of its rows are not given")
        self._limit(len(rows))
        return [tuple(row[key] for key in self._keys) for row in rows]

    def _matching_rows(self) -> Rows:
        """The rows that an UPDATE or DELETE will find, locked until the end of the transaction."""
        wanted = self._select()
        if self._statement.whereclause is not None:
            wanted = wanted.where(self._statement.whereclause)
        wanted = wanted.limit(self._most + 1).with_for_update()
        rows = self._read(self._session.execute(wanted, self._state.parameters))
        self._limit(len(rows))
        return rows

    def _rows(self, keys: Sequence[Key]) -> Rows:
        columns = [getattr(self._mapper.class_, key) for key in self._keys]
        found: Rows = {}
        for at in range(0, len(keys), _CHUNK):
            some = keys[at : at + _CHUNK]
            condition = (
                columns[0].in_([key[0] for key in some]) if len(columns) == 1 else tuple_(*columns).in_(some)
            )
            found |= self._read(self._session.execute(self._select().where(condition)))
        return found

    def _select(self) -> Any:
        return select(*(getattr(self._mapper.class_, name) for name in columns_of(self._mapper)))

    def _read(self, result: Result[Any]) -> Rows:
        names = list(columns_of(self._mapper))
        rows = [dict(zip(names, row, strict=True)) for row in result]
        return {tuple(row[key] for key in self._keys): row for row in rows}

    def _limit(self, count: int) -> None:
        if count > self._most:
            raise _refused(self._mapper.class_.__name__, f"it writes more than {self._most} rows")


def _refused(what: str, why: str) -> BulkOperationError:
    return BulkOperationError(
        f"a bulk statement on {what} was refused: {why}. Change the objects, or record it yourself within"
        " `recorded_by_hand()`"
    )
