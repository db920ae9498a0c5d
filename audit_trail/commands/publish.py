"""`audit-trail publish`: the events of files to Kafka."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit_trail.commands.terminal import wrong
from domain.errors import ConfigurationError, InvalidEventError, Reason, RejectedError

if TYPE_CHECKING:
    from interop.systems import Systems


def publish(
    files: Annotated[
        list[Path], typer.Argument(help="JSON, NDJSON or FHIR files.", exists=True, dir_okay=False)
    ],
    topic: Annotated[
        str, typer.Option(help="Another topic than the first of AUDIT_TRAIL_KAFKA_TOPICS.")
    ] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="Each file is one message, whatever is in it: nothing is checked.")
    ] = False,
) -> None:
    """Publish the events of files to Kafka: all of them, or none when one is no audit event that ingest accepts.

    A file may have 64 MiB, and all files together 256 MiB.
    """
    from audit_trail.commands.event_files import MOST_BYTES, messages_of
    from audit_trail.ingest_settings import ingest_settings, systems
    from audit_trail.setting_values import topic_name
    from audit_trail.settings import load
    from event_store.files.folders import read_input
    from ingest.publisher import Message, Publisher

    settings = load()
    try:
        target = topic_name(topic) if topic else settings.kafka_topics[0]
    except ValueError as exc:
        raise wrong("--topic", str(exc)) from exc
    names = systems(settings)
    values: list[bytes] = []
    left = 4 * MOST_BYTES
    for file in files:
        for number, value in enumerate([read_input(file, MOST_BYTES)] if raw else messages_of(file), 1):
            if not raw:
                _check(file, number, value, settings.max_message_bytes, names)
            values.append(value)
            left -= len(value)
            if left < 0:
                raise ConfigurationError(
                    f"the files have more than {4 * MOST_BYTES} bytes together: publish them in several calls"
                )
    if not values:
        raise RejectedError(Reason.MISSING_FIELD, "there is no event in the files: nothing was published")
    with closing(Publisher(ingest_settings(settings))) as publisher:
        publisher.publish(Message(target, None, value) for value in values)
    typer.echo(f"published {len(values)} messages to {target}")


def _check(file: Path, number: int, value: bytes, max_bytes: int, names: Systems) -> None:
    """Raise `InvalidEventError` that names file, event and field, unless ingest will accept the message."""
    from interop.decoding import decode

    try:
        decode(value, (), max_bytes=max_bytes, systems=names)
    except RejectedError as exc:
        place = f"{file}, event {number}" + (f", {exc.field}" if exc.field else "")
        raise InvalidEventError(exc.reason, f"{exc.message} (--raw sends it as it is)", field=place) from exc
