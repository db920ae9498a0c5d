"""A custom projection: one file, read, checked and made a projector like the built-in ones."""

from __future__ import annotations

import ast
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from event_store.database import Database
from event_store.files.folders import read_file
from projections.custom.batch_sql import CustomQuery, run_query
from projections.custom.batch_sql_check import check_query
from projections.custom.declaration import NAME, faults
from projections.custom.rows import RowCheck
from projections.errors import CodeError, RowError
from projections.tables import Row, Table

MAX_VERSION = 999_999


class CustomProjector:
    """A projector made from a file. One with SQL needs `bind` before it makes rows."""

    def __init__(
        self,
        file: Path,
        declared: _Declared,
        make: Callable[[Sequence[RecordedEvent]], Any] | None,
        queries: tuple[CustomQuery, ...],
    ) -> None:
        self.file = file
        self.name = declared.name
        self.version = declared.version
        self.tables = declared.tables
        self.queries = queries
        self._declared = declared
        self._line = declared.rows_line
        self._make = make
        self._database: Database | None = None
        lines = {query.table.name: query.line for query in queries}
        self._checks = {
            table.name: RowCheck(table, lines.get(table.name, declared.rows_line)) for table in self.tables
        }

    def fault(self, name: str, message: str) -> CodeError:
        """An error at the line on which the file declares `name`."""
        return self._declared.fault(self._declared.line_of(name), message)

    def table_fault(self, table: str, message: str) -> CodeError:
        """An error at the line on which the file names `table`."""
        return self._declared.fault(self._declared.line_of_text(table, "tables"), message)

    def bind(self, database: Database) -> None:
        """Check the file's SQL in `database`, and run it there from now on. Raises `CodeError` when it can't run."""
        for query in self.queries:
            for line, message in check_query(database, query):
                raise CodeError(self.file.name, line, message)
        self._database = database

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """The rows of the file's code, checked. Raises what it raises, and `RowError` for rows that do not fit."""
        if not events:  # all events of the batch are skipped; the analyst's code does not see that case
            return {}
        made = self._selected(events) if self.queries else self._make(events) if self._make else None
        if not isinstance(made, Mapping):
            raise RowError(
                self._line, f"rows() returns a mapping from table to rows, not {type(made).__name__}"
            )
        unknown = [name for name in made if name not in self._checks]
        if unknown:
            raise RowError(
                self._line,
                f"rows() has rows of {str(unknown[0])[:60]!r}, which is no table of this projection",
            )
        return {name: self.checked(name, rows) for name, rows in made.items()}

    def checked(self, table: str, rows: Any) -> list[Row]:
        """The rows of a table as the table keeps them. Raises `RowError` for a row that does not fit."""
        try:
            iterator = iter(rows)
        except TypeError as exc:
            raise RowError(
                self._line, f"table {table}: its rows are a list, not {type(rows).__name__}"
            ) from exc
        return self._checks[table].rows(iterator)

    def _selected(self, events: Sequence[RecordedEvent]) -> dict[str, list[tuple[Any, ...]]]:
        if self._database is None:
            raise ConfigurationError(f"{self.file.name} has SQL, which needs a database: give its URL")
        return {query.table.name: run_query(self._database, query, events) for query in self.queries}


class _Declared:
    """The checked declarations of the module. Every fault is a `CodeError` with its line."""

    def __init__(self, file: Path, module: ModuleType, tree: ast.Module) -> None:
        self._file = file
        self._module = module
        self._tree = tree
        self.name: str = self._value("name", str, "a text")
        if not NAME.fullmatch(self.name):
            raise self.fault(
                self.line_of("name"),
                f"{self.name[:60]!r} names no projection: lower-case letters, digits and underscores, at most 40",
            )
        self.version: int = self._value("version", int, "a whole number")
        if isinstance(self.version, bool) or not 1 <= self.version <= MAX_VERSION:
            raise self.fault(self.line_of("version"), f"version is a whole number from 1 to {MAX_VERSION}")
        tables = self._value("tables", (tuple, list), "a tuple of Tables")
        if not all(isinstance(each, Table) for each in tables):
            raise self.fault(self.line_of("tables"), "tables is a tuple of Tables")
        self.tables: tuple[Table, ...] = tuple(tables)
        for fault in faults(self.tables):
            raise self.fault(self.line_of_text(fault.about, "tables"), fault.message)
        self.rows_line = self.line_of("rows") or self.line_of("sql") or 1

    def fault(self, line: int, message: str) -> CodeError:
        """An error for the caller to raise."""
        return CodeError(self._file.name, line or 1, message)

    def _value(self, name: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        if not hasattr(self._module, name):
            raise self.fault(1, f"the file declares no `{name}`")
        value = getattr(self._module, name)
        if not isinstance(value, kind):
            raise self.fault(
                self.line_of(name), f"`{name}` has to be {wanted}, and is of type {type(value).__name__}"
            )
        return value

    def line_of(self, name: str) -> int:
        """The line on which the module defines this name; 0 when it does not."""
        for node in self._tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return node.lineno
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return node.lineno
        return 0

    def line_of_text(self, text: str, otherwise: str) -> int:
        """The line of this text as a literal; without one, the line of the name `otherwise`."""
        # The table may have the name of the projection, and its line is the one wanted.
        elsewhere = [each for each in self._tree.body if each.lineno != self.line_of("name")]
        nodes = [node for each in elsewhere for node in ast.walk(each)]
        lines = [node.lineno for node in nodes if isinstance(node, ast.Constant) and node.value == text]
        return min(lines, default=0) or self.line_of(otherwise)


def load_custom(file: Path, database: Database | None = None) -> CustomProjector:
    """The projector of a file. With a database its SQL is checked there, and can be run.

    Raises `CodeError`, which begins with file and line, when the file is broken, and `ConfigurationError` when it can't
    be read.
    """
    source = _read(file)
    tree = _parsed(file, source)
    module = _run(file, compile(tree, str(file), "exec", dont_inherit=True))
    declared = _Declared(file, module, tree)
    make, queries = getattr(module, "rows", None), getattr(module, "sql", None)
    if (make is None) == (queries is None):
        both = "both `rows` and `sql`" if make is not None else "neither `rows` nor `sql`"
        raise declared.fault(declared.rows_line, f"the file declares {both}: one of them makes the rows")
    if make is not None and (not callable(make) or isinstance(make, type)):
        raise declared.fault(declared.line_of("rows"), "`rows` is a function of a batch of events")
    if make is not None and any(isinstance(n, ast.AsyncFunctionDef) and n.name == "rows" for n in tree.body):
        raise declared.fault(declared.line_of("rows"), "`rows` is a plain function, not an async one")
    projector = CustomProjector(file, declared, make, () if queries is None else _queries(declared, queries))
    if database is not None:
        projector.bind(database)
    return projector


_MOST_BYTES = 4 << 20


def _read(file: Path) -> str:
    try:
        data = read_file(file, _MOST_BYTES)
    except OSError as exc:
        raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CodeError(file.name, data.count(b"\n", 0, exc.start) + 1, "this is not UTF-8") from exc


def _parsed(file: Path, source: str) -> ast.Module:
    try:
        return ast.parse(source, str(file))
    except SyntaxError as exc:
        raise CodeError(file.name, exc.lineno or 1, exc.msg) from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise CodeError(file.name, 1, f"this can't be read as Python: {exc}") from exc


def _run(file: Path, code: CodeType) -> ModuleType:
    """Run the file as a module with a unique name, so that its classes can be found."""
    module = ModuleType("custom_projection_" + re.sub(r"\W", "_", file.stem))
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - the analyst's own program  # nosec B102
    except (Exception, SystemExit) as exc:
        frames = [each for each in traceback.extract_tb(exc.__traceback__) if each.filename == str(file)]
        line = frames[-1].lineno if frames else 1
        raise CodeError(file.name, line or 1, f"{type(exc).__name__}: {exc}") from exc
    return module


def _queries(declared: _Declared, queries: Any) -> tuple[CustomQuery, ...]:
    line = declared.line_of("sql")
    if not isinstance(queries, Mapping) or not all(isinstance(text, str) for text in queries.values()):
        raise declared.fault(line, "`sql` is a mapping from table to the text of one SELECT")
    tables = {table.name: table for table in declared.tables}
    for name in queries:
        if name not in tables:
            raise declared.fault(
                declared.line_of_text(name, "sql"), f"sql names {str(name)[:60]!r}, which is no table here"
            )
    for name in tables:
        if name not in queries:
            raise declared.fault(line, f"sql has no SELECT for table {name}")
    return tuple(
        CustomQuery(tables[name], text, declared.line_of_text(text, "sql")) for name, text in queries.items()
    )
