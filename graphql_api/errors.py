"""The errors of a failed query, as the client gets them.

Every error has `extensions.code`. An unexpected error is masked: its text may hold SQL or patient data, so it goes to
the log, and the client gets `INTERNAL_ERROR`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.extensions import MaskErrors
from strawberry.utils.str_converters import to_camel_case

from domain.errors import (
    AccessDeniedError,
    AuditTrailError,
    EventAlteredError,
    RejectedError,
    TooSlowError,
    UnavailableError,
    UnrecordedError,
)
from queries.cursors import CursorError
from queries.error_codes import TOO_SLOW, Code
from queries.filters.checks import FilterTooLargeError
from queries.following.feed import StoppingError, TooManyError
from queries.freshness import BehindError

log = structlog.get_logger(__name__)


class QueryError(GraphQLError):
    """An error whose message is meant for the client."""

    def __init__(self, code: Code, message: str, *, argument: str = "", **extensions: object) -> None:
        extensions["code"] = code.value
        if argument:
            extensions["argument"] = argument
        super().__init__(message, extensions=extensions)
        self.code = code


def from_domain(exc: AuditTrailError) -> QueryError:
    """The client's error for `exc`: wrong input and outages are named, other failures are masked."""
    if isinstance(exc, BehindError):
        return QueryError(
            Code.POSITION_NOT_REACHED,
            exc.message,
            argument=to_camel_case(exc.field),
            asOfPosition=exc.as_of_position,
        )
    if isinstance(exc, RejectedError):
        return _rejected(exc)
    if isinstance(exc, AccessDeniedError):
        return QueryError(Code.FORBIDDEN, str(exc))
    if isinstance(exc, UnavailableError):
        code = Code.AUDIT_UNAVAILABLE if isinstance(exc, UnrecordedError) else Code.UNAVAILABLE
        away = TOO_SLOW if isinstance(exc, TooSlowError) else "the event store is away; try again in a moment"
        return QueryError(code, str(exc) if isinstance(exc, UnrecordedError | StoppingError) else away)
    if isinstance(exc, EventAlteredError):
        log.error("event_altered", position=exc.position)
        return QueryError(Code.INTERNAL_ERROR, str(exc))
    return QueryError(Code.INTERNAL_ERROR, MASKED)


def _rejected(exc: RejectedError) -> QueryError:
    code = Code.BAD_USER_INPUT
    if isinstance(exc, CursorError):
        code = Code.BAD_CURSOR
    elif isinstance(exc, FilterTooLargeError | TooManyError):
        code = Code.LIMIT_EXCEEDED
    return QueryError(code, exc.message, argument=to_camel_case(exc.field))


MASKED = "Unexpected error."


@contextmanager
def translated() -> Iterator[None]:
    """Translate an `AuditTrailError` of the block with `from_domain`."""
    try:
        yield
    except AuditTrailError as exc:
        raise from_domain(exc) from exc


def is_unexpected(error: GraphQLError) -> bool:
    """Whether an exception of our own code caused it; validation and variable errors have nodes but no path."""
    original = error.original_error
    if original is None or isinstance(original, GraphQLError):
        return False
    return error.path is not None or not error.nodes


_TOO_MUCH = re.compile(
    "Syntax Error: Document (contains more than [0-9]+ tokens|is nested too deeply)"
    "|Maximum introspection depth exceeded"
)
"""The library's own limits are known only by their messages."""
_WRONG_VARIABLE = re.compile(r"Variable '\$\w+' has invalid value")
"""The library's message for a value of the wrong type; a misused variable has another message."""


def give_code(error: GraphQLError) -> None:
    """Set the code of an error by the library: syntax, validation, or a value of the wrong type."""
    if (error.extensions or {}).get("code"):
        return
    if _TOO_MUCH.match(error.message) and error.path is None:
        code = Code.LIMIT_EXCEEDED
    elif isinstance(error, GraphQLSyntaxError):
        code = Code.PARSE_FAILED
    elif error.path is not None or _WRONG_VARIABLE.match(error.message) or error.original_error is not None:
        code = Code.BAD_USER_INPUT
    else:
        code = Code.VALIDATION_FAILED
    error.extensions = {**(error.extensions or {}), "code": code.value}


class MaskUnexpectedErrors(MaskErrors):
    """`MaskErrors` that passes errors written for the client, and gives the others a code."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=is_unexpected, error_message=MASKED)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        """The error that the client gets in place of `error`."""
        return GraphQLError(
            self.error_message,
            nodes=error.nodes,
            source=error.source,
            positions=error.positions,
            path=error.path,
            extensions={"code": Code.INTERNAL_ERROR.value},
        )
