"""The library's own recorder cases, unmodified, on our recorders."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    InfrastructureFactory,
    ProcessRecorder,
    TrackingRecorder,
)
from eventsourcing.tests import persistence as library
from eventsourcing.utils import Environment

from event_store.database import INGEST, Database
from event_store.recorder import (
    LogApplicationRecorder,
    LogInfrastructure,
    LogProcessRecorder,
    LogRecorder,
    LogTrackingRecorder,
)
from tests.signing import TEXT, signer


class OnLog:
    """A migrated database of its own for each test of a library case."""

    database: Database
    url: str
    INITIAL_VERSION = 1

    @pytest.fixture(autouse=True)
    def _open(self, migrated_url: str) -> Iterator[None]:
        self.url = migrated_url
        self.database = Database(migrated_url, INGEST)
        yield
        self.database.close()

    def new_originator_id(self) -> UUID:
        return uuid4()


class TestAggregateRecorder(OnLog, library.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return LogRecorder(self.database, signer=signer())


class TestApplicationRecorder(OnLog, library.ApplicationRecorderTestCase[LogApplicationRecorder]):
    def create_recorder(self) -> LogApplicationRecorder:
        return LogApplicationRecorder(self.database, signer=signer())

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleaving(OnLog, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> LogApplicationRecorder:
        return LogApplicationRecorder(self.database, signer=signer())


class TestTrackingRecorder(OnLog, library.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return LogTrackingRecorder(self.database, signer=signer())


class TestProcessRecorder(OnLog, library.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return LogProcessRecorder(self.database, signer=signer())


class SpecialTrackingRecorder(LogTrackingRecorder):
    """What an application may bring of its own."""


class TestInfrastructure(OnLog, library.InfrastructureFactoryTestCase[LogInfrastructure]):
    def setUp(self) -> None:
        self.env = Environment(
            "TestCase",
            {
                InfrastructureFactory.PERSISTENCE_MODULE: "event_store.recorder",
                "DATABASE_URL": self.url,
                "LOG_KEY": TEXT,
            },
        )
        super().setUp()

    def expected_factory_class(self) -> type[LogInfrastructure]:
        return LogInfrastructure

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return LogRecorder

    def expected_application_recorder_class(self) -> type[LogApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return SpecialTrackingRecorder

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return LogProcessRecorder
