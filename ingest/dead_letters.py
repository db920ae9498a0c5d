"""Decisions on dead letters: requeue or dismiss. The log records each decision."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from eventsourcing.application import AggregateNotFoundError, Application

from domain.dead_letter import DeadLetterResolution, Resolution
from domain.errors import ConfigurationError, RejectedError
from domain.json_parsing import decode_json
from domain.read_audit.truncation import identifier
from event_store.database import Database
from event_store.dead_letters import (
    DeadLetter,
    ListedDeadLetter,
    get_dead_letter,
    list_dead_letters,
    resolution_id,
)
from ingest.publisher import Message, Publisher
from interop.decoding import decode
from interop.systems import OWN, Systems

Letter = TypeVar("Letter", DeadLetter, ListedDeadLetter)


class Resolved(NamedTuple, Generic[Letter]):
    """A dead letter with its state."""

    letter: Letter
    state: Resolution
    by: str
    reason: str


def patients_named(letter: DeadLetter, systems: Systems = OWN) -> list[str]:
    """The patients in a letter, as far as it can be decoded: the fault may be in another part."""
    try:
        event = decode(
            letter.value, letter.headers, max_bytes=len(letter.value or b""), systems=systems
        ).event
    except RejectedError:
        return _patients_of(letter.value)
    return [patient.id for patient in event.patients]


def _patients_of(value: bytes | None) -> list[str]:
    """The patients in a message that is not a valid event: `patients`, and FHIR references to a patient."""
    text = (value or b"").decode("utf-8", "replace")
    try:
        left: deque[Any] = deque([decode_json(text)])
    except (msgspec.DecodeError, RecursionError):
        return _patients_in(text)
    found: dict[str | None, None] = {}
    while left:
        part = left.popleft()
        if isinstance(part, dict):
            several = part.get("patients")
            for each in several if isinstance(several, list) else ():
                if isinstance(each, dict) and isinstance(each.get("id"), str):
                    found[identifier(each["id"])] = None
            reference = part.get("reference")
            if isinstance(reference, str) and (match := _PATIENT.search(reference)):
                found[match[1]] = None
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        left += [each for each in inner if isinstance(each, dict | list)]
    return [id for id in found if id]


def _patients_in(text: str) -> list[str]:
    """The patients in text that is not JSON, or only the beginning of it."""
    found = [json_text for part in _PATIENTS.findall(text) for json_text in _ID.findall(part)]
    ids = [identifier(each) for each in found]
    return list(dict.fromkeys([each for each in ids if each] + _REFERENCE.findall(text)))


_PATIENTS = re.compile(r'"patients"\s{0,100}:\s{0,100}\[([^\]]{0,65536})')
_ID = re.compile(r'"id"\s{0,100}:\s{0,100}"([^"\\]{1,512})"')
_REFERENCE = re.compile(r'[/"]Patient/([A-Za-z0-9.-]{1,64})["/]')
_PATIENT = re.compile(r"(?:^|/)Patient/([A-Za-z0-9.-]{1,64})(?:/|$)")
"""FHIR R5, section 2.1.28.0.1: a reference, relative or absolute."""


class DeadLetterDesk(Application[UUID]):
    """The operator's view of dead letters. Decisions need `key`, the text of a key file; reading does not."""

    def __init__(self, database: Database, url: str, key: str = "") -> None:
        super().__init__(
            env={"PERSISTENCE_MODULE": "event_store.recorder", "DATABASE_URL": url, "LOG_KEY": key}
        )
        self._database = database

    def page(self, *, after: int = 0, limit: int = 100) -> list[Resolved[ListedDeadLetter]]:
        """Dead letters in order of id with their decisions, without the messages."""
        with self._database.transaction(read_only=True) as connection:
            letters = list_dead_letters(connection, after=after, limit=limit)
        return [self._resolved(letter) for letter in letters]

    def show(self, id: int) -> Resolved[DeadLetter]:
        """One dead letter with its message."""
        return self._resolved(self._letter(id))

    def requeue(self, id: int, publish: Callable[[DeadLetter], None], *, by: str, reason: str) -> None:
        """Publish the message again, unchanged, then record the decision.

        In this order, because ingest drops a message published twice as a duplicate, while a message recorded as
        requeued but never published would be lost. Raises `ConfigurationError` when the letter does not contain one
        whole message.
        """
        letter = self._letter(id)
        _refuse_incomplete(letter)
        resolution = self._resolution(letter)
        resolution.requeue(by=by, reason=reason)
        publish(letter)
        self.save(resolution)

    def dismiss(self, id: int, *, by: str, reason: str) -> None:
        """Record the decision not to publish the message again."""
        resolution = self._resolution(self._letter(id))
        resolution.dismiss(by=by, reason=reason)
        self.save(resolution)

    def _letter(self, id: int) -> DeadLetter:
        with self._database.transaction(read_only=True) as connection:
            return get_dead_letter(connection, id)

    def _resolution(self, letter: DeadLetter | ListedDeadLetter) -> DeadLetterResolution:
        try:
            found: DeadLetterResolution = self.repository.get(resolution_id(letter))
        except AggregateNotFoundError:
            return DeadLetterResolution.receive(resolution_id(letter), letter.id)
        return found

    def _resolved(self, letter: Letter) -> Resolved[Letter]:
        resolution = self._resolution(letter)
        return Resolved(letter, resolution.state, resolution.by, resolution.reason)


def publishing(publisher: Publisher) -> Callable[[DeadLetter], None]:
    """What publishes a letter again, unchanged. Raises `ConfigurationError` for one that says nothing."""

    def publish(letter: DeadLetter) -> None:
        if letter.key is None and letter.value is None:
            raise ConfigurationError("a message with neither key nor value says nothing: dismiss it")
        publisher.publish([Message(letter.topic, letter.key, letter.value, letter.headers)])

    return publish


def _refuse_incomplete(letter: DeadLetter) -> None:
    place = f"topic {letter.topic}, partition {letter.partition}"
    if letter.batch is not None:
        raise ConfigurationError(
            f"dead letter {letter.id} is a batch, not a message, and can't be published again: Kafka has it at {place},"
            f" offsets {letter.offset} to {letter.batch.last_offset}, until its retention ends."
            " Let the sender publish its events again, then dismiss this one"
        )
    if letter.is_cut:
        raise ConfigurationError(
            f"dead letter {letter.id} contains only the start of its message and can't be published again: Kafka has"
            f" the whole at {place}, offset {letter.offset}, until its retention ends."
            " Let the sender publish smaller events, then dismiss this one"
        )
