"""Ingest against a broker that loses records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from event_store.database import READER
from event_store.verify.run import verify
from ingest.settings import IngestSettings
from tests.ingest.partitions.kafka_topics import Call, OwnBroker


@pytest.fixture
def admin(settings: IngestSettings) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
        yield admin


@pytest.fixture
def intact(migrated_url: str) -> Iterator[None]:
    """Whatever a test does, `verify` finds nothing wrong afterwards."""
    yield
    assert verify(migrated_url, READER, []).findings == ()


@pytest.fixture
def own(server_folder: Path, settings: IngestSettings, message: Call) -> Iterator[OwnBroker]:
    it = OwnBroker(server_folder, settings, message)
    with it.broker:
        it.make()
        yield it
