"""The commands about cases and suppressions. `serve` stores them, and `ingest` carries them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from domain.access.principal import Principal
from domain.alert_level import Level
from domain.errors import InvalidEventError, Reason
from domain.event import ActorKind, Identifier, Name, Text, Timestamp
from domain.json_parsing import check_shape, decoder_of

MAX_BODY = 512 << 10
"""Bytes of a command's body in JSON: a text of 65,536 characters takes up to 262,144."""
MAX_SECONDS = 31 * 24 * 3600
"""The longest time that a decision may have taken."""
Title = Annotated[str, Meta(min_length=1, max_length=1024)]


class Verdict(StrEnum):
    """What somebody decided about a case. The values are stored; never rename one."""

    JUSTIFIED = "justified"
    POLICY_BREACH = "policy_breach"
    FALSE_ALARM = "false_alarm"


class Person(Struct, frozen=True):
    """Who did something, or is to do it: the kind, id and name of an actor."""

    id: Identifier
    kind: ActorKind = ActorKind.USER
    name: Name | None = None


class CommandBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What a command says. The tag is its kind; it is stored, so never rename one."""


class OpenCase(CommandBody, frozen=True, tag="open_case"):
    """Open a case by hand. `actor` is the id of the person or service that it is about."""

    actor: Identifier
    title: Title
    level: Level
    reason: Text


class Assign(CommandBody, frozen=True, tag="assign"):
    """Say who works on a case."""

    assignee: Person
    reason: Text = ""


class Comment(CommandBody, frozen=True, tag="comment"):
    """Add a comment to a case."""

    text: Text


class AskEmployee(CommandBody, frozen=True, tag="ask_employee"):
    """Ask an employee about a case."""

    employee: Person
    question: Text


class AnswerQuestion(CommandBody, frozen=True, tag="answer_question"):
    """Answer the open question of a case; only the employee asked may do it."""

    answer: Text


class Decide(CommandBody, frozen=True, tag="decide"):
    """Decide a case. `seconds` is how long the review took, if it was measured."""

    verdict: Verdict
    reason: Text
    seconds: Annotated[int, Meta(ge=0, le=MAX_SECONDS)] | None = None


class Reopen(CommandBody, frozen=True, tag="reopen"):
    """Open a decided case again."""

    reason: Text


class Suppress(CommandBody, frozen=True, tag="suppress"):
    """Hold back the alerts of a rule until `expires_at`. `match`: only those of groups with these names and values."""

    rule_id: UUID
    owner: Person
    reason: Text
    expires_at: Timestamp
    match: Annotated[dict[Title, Title], Meta(max_length=8)] = {}


class EndSuppression(CommandBody, frozen=True, tag="end_suppression"):
    """End a suppression before it expires."""

    reason: Text


Body = (
    OpenCase | Assign | Comment | AskEmployee | AnswerQuestion | Decide | Reopen | Suppress | EndSuppression
)
_OPTIONAL: frozenset[tuple[type[CommandBody], str]] = frozenset({(Assign, "reason")})


class GivenCommand(Struct, frozen=True, kw_only=True):
    """What commands have. `target` is the id of what it is about, `requested_at` when somebody gave the command.

    `id` is the idempotency key: the same command is carried out once.
    """

    id: UUID
    target: UUID
    by: Principal
    session: str | None = None
    requested_at: datetime

    @property
    def person(self) -> Person:
        """Who gave the command."""
        return Person(id=self.by.id, kind=self.by.kind, name=self.by.name)


class CaseCommand(GivenCommand, frozen=True, kw_only=True):
    """A command about a case or a suppression."""

    body: Body


def kind_of(body: CommandBody) -> str:
    """The kind of a command, such as ``decide``."""
    return tag_of(type(body))


def tag_of(kind: type[CommandBody]) -> str:
    """The kind of all commands of a type."""
    return str(kind.__struct_config__.tag)


def encode_body(body: CommandBody) -> bytes:
    """The body as JSON, in which the fields are sorted by name."""
    return msgspec.json.encode(body, order="deterministic")


def decoder(kinds: Any) -> Callable[[bytes], Any]:
    """What reads a body of these kinds. It raises `InvalidEventError` that names the field at fault."""
    decode = decoder_of(kinds)

    def read(text: bytes) -> Any:
        if len(text) > MAX_BODY:
            raise InvalidEventError(Reason.OVERSIZED, f"at most {MAX_BODY} bytes")
        check_shape(text)
        try:
            return decode(text)
        except msgspec.ValidationError as exc:
            message, _, path = str(exc).partition(" - at `$")
            raise InvalidEventError(Reason.INVALID_FIELD, message, field=path.strip("`.")) from exc
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise InvalidEventError(Reason.INVALID_JSON, "the body must be JSON in UTF-8") from exc

    return read


_decode: Callable[[bytes], Body] = decoder(Body)


def decode_body(text: bytes) -> Body:
    """The body in JSON. Raises `InvalidEventError` that names the field at fault and says what to change."""
    return check_body(_decode(text))


def check_body(body: Body) -> Body:
    """Return `body` if its texts can be stored and say something. Raises `InvalidEventError`."""
    checked(body)
    return body


def checked(body: CommandBody) -> None:
    """Raise `InvalidEventError` unless the texts of `body` can be stored and say something."""
    for name in body.__struct_fields__:
        value = getattr(body, name)
        for text in _texts(value):
            if "\0" in text or not _is_utf8(text):
                raise InvalidEventError(
                    Reason.INVALID_FIELD, "the text must be UTF-8 without NUL characters", field=name
                )
        if isinstance(value, str) and not value.strip() and (type(body), name) not in _OPTIONAL:
            raise InvalidEventError(Reason.MISSING_FIELD, "write at least one word", field=name)
    if len(encode_body(body)) > MAX_BODY:
        raise InvalidEventError(Reason.OVERSIZED, f"at most {MAX_BODY} bytes")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Person):
        yield from (value.id, value.name or "")
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _texts(each)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
