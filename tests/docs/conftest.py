"""One stack with a small clinic in it, for all pages: what a reader has after `audit-trail up`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit_trail.demo import clinic
from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import load
from audit_trail.stack import Stack
from domain.validation import encode_event
from ingest.publisher import Message, Publisher
from tests.docs.typed_commands import Typed

_EVENTS = 1000


@pytest.fixture(scope="session")
def readers_folder(session_folder: Path) -> Path:
    """The folder in which a reader types the commands."""
    folder = session_folder / "reader"
    folder.mkdir()
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def typed(session_folder: Path) -> Iterator[Typed]:
    """The program that the commands of pages call."""
    with closing(Typed(session_folder)) as typed:
        yield typed


@pytest.fixture(scope="session")
def stack(readers_folder: Path) -> Iterator[Stack]:
    """The whole of Audit Trail on embedded services, with the clinic of the demonstration."""
    with Stack(load(http_port=0), readers_folder / "audit-trail-data", "embedded") as running:
        topic = running.settings.kafka_topics[0]
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        with closing(Publisher(ingest_settings(running.settings))) as publisher:
            publisher.publish(
                Message(topic, None, encode_event(event)) for event in clinic.simulate(1, start, _EVENTS)
            )
        yield running
