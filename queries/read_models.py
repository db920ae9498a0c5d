"""Every query of the read side. Every method that reads blocks, and answers from one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.access.principal import Role
from domain.access.saved_view import SavedView
from domain.body import ReceivedMessage
from domain.errors import ConflictError, Reason, TooSlowError
from domain.event import RecordedEvent
from event_store.database import Connection, Database
from event_store.event_reader import find_body, find_event, find_message
from projections.binary_rows import utc
from projections.registry import built_in, live_builds, live_schemas, open_snapshot
from queries.counts import EventCounts, check_countable, count_events
from queries.detection.read_models import DetectionModels
from queries.detection.review_models import ReviewModels
from queries.filters.checks import check_identifier, check_limit, check_page, check_time
from queries.filters.event_filter import EventFilter, EventPage, PageRequest
from queries.filters.match import matches
from queries.history import ChangePage, HistoryPlace, Redact, find_changes
from queries.live_tables.pages import LiveProjection, RowPage, RowRequest, find_live, find_rows
from queries.saved_views import BEGIN, Place, SharedViews, find_own_view, find_own_views, find_shared_views
from queries.search.event_pages import find_events
from queries.search.page_call import can_be_one_call, find_in_one_call
from queries.search.prepared import PreparedQuery, plan
from queries.summaries.configuration import ChangePlace, ConfigurationPage, find_configuration
from queries.summaries.device import find_device
from queries.summaries.followers import list_followers
from queries.summaries.patient import Between, find_patient
from queries.summaries.people import Person, find_named, known_ids
from queries.summaries.projections import list_versions
from queries.summaries.resource import find_resource
from queries.summaries.results import (
    ApiUse,
    ConfigurationChange,
    DeviceActivity,
    FollowerStatus,
    GapList,
    PatientAccess,
    PatientActivity,
    ProjectionStatus,
    ResourceActivity,
    SequenceConflict,
    SequenceCounts,
    SequenceGap,
    ServiceActivity,
    ServiceInstance,
    StatePeriod,
    UserAction,
    UserActivity,
    UserPatient,
    UserSession,
    VersionPeriod,
)
from queries.summaries.sequences import LATENESS, count_sequences, find_gaps
from queries.summaries.service import find_service
from queries.summaries.user import find_user
from queries.watched_targets import TargetPage, find_targets

__all__ = [
    "ApiUse",
    "ConfigurationChange",
    "DeviceActivity",
    "FollowerStatus",
    "GapList",
    "PatientAccess",
    "PatientActivity",
    "ProjectionStatus",
    "ReadModels",
    "ResourceActivity",
    "SequenceConflict",
    "SequenceCounts",
    "SequenceGap",
    "ServiceActivity",
    "ServiceInstance",
    "StatePeriod",
    "UserAction",
    "UserActivity",
    "UserPatient",
    "UserSession",
    "VersionPeriod",
]

DEFAULT_LIMIT = 100
SHORTER = "ask for a shorter range of times, or more conditions"
INDEXED = "add a condition that the documentation calls indexed, or a range of times"


class ReadModels:
    """Queries on the live version of every projection, without redaction.

    `scope` is the filter of the events that the principal may see; an event outside of it does not exist. None is
    everything. `lateness` is for how long missing events may be on their way.
    """

    def __init__(self, database: Database, lateness: timedelta = LATENESS) -> None:
        self._database = database
        self._lateness = lateness
        self.detection = DetectionModels(database)
        self.reviews = ReviewModels(database)
        self._schemas: dict[str, str] = {}
        """The schemas of the live builds as last read: see `queries.search.page_call`."""

    def events(self, query: PreparedQuery, page: PageRequest) -> EventPage:
        """A page of the events that match. Raises `RejectedError` when the page is out of bounds.

        It also raises `RejectedError` when the walk of a filter without an index times out: it would do so again.
        """
        check_page(page)
        with _in_time(not query.is_bounded, INDEXED):
            in_one_call = can_be_one_call(query, page)
            if in_one_call and self._schemas:
                with self._database.snapshots() as connection:
                    found = find_in_one_call(connection, self._schemas, query, page)
                if found is not None:
                    return found
            with self._database.transaction(read_only=True) as connection:
                if in_one_call:
                    self._schemas = live_schemas(connection)
                return find_events(connection, query, page)

    def event_counts(self, query: PreparedQuery, limit: int = DEFAULT_LIMIT) -> EventCounts:
        """How many events match, in at most `limit` buckets. Raises `RejectedError` when that is too much to count."""
        check_limit(limit)
        check_countable(query)
        with _in_time(True, SHORTER), self._database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
            as_of = query.complete_up_to(checkpoints)
            return count_events(connection, query, limit, as_of, rolled_up=checkpoints.get("activity"))

    def event(self, event_id: UUID, scope: EventFilter | None = None) -> RecordedEvent | None:
        """One event, from the store itself: it is there as soon as it is committed. None outside of `scope`."""
        with self._database.transaction(read_only=True) as connection:
            found = find_event(connection, event_id)
        return found if found is None or scope is None or matches(scope, found) else None

    def stored_body(self, event_id: UUID) -> bytes | None:
        """The stored bytes of an event, which its sealed digest covers."""
        with self._database.transaction(read_only=True) as connection:
            return find_body(connection, event_id)

    def received_message(self, event_id: UUID) -> ReceivedMessage | None:
        """The message that an event was read from, as it was received."""
        with self._database.transaction(read_only=True) as connection:
            return find_message(connection, event_id)

    def as_of_position(self) -> int:
        """The position up to which every read model is complete; -1 for none."""
        with self._database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
        return min(checkpoints.get(each.name, -1) for each in built_in())

    def patient(
        self,
        id: str,
        limit: int = DEFAULT_LIMIT,
        own: Collection[str] | None = None,
        between: Between | None = None,
    ) -> PatientActivity | None:
        """Who accessed a patient's data, the latest `limit` of them; `own` and `between` as in `find_patient`."""
        names = ("patient",) if between is None else ("patient", "activity")
        with (
            _in_time(between is not None, SHORTER),
            self._snapshot(id, limit, *names) as (connection, as_of),
        ):
            return find_patient(connection, id, limit, as_of, own, between) if as_of >= 0 else None

    def user(self, id: str, limit: int = DEFAULT_LIMIT) -> UserActivity | None:
        """What a user did."""
        with self._snapshot(id, limit, "user", "patient") as (connection, as_of):
            return find_user(connection, id, limit, as_of) if as_of >= 0 else None

    def device(self, id: str, limit: int = DEFAULT_LIMIT) -> DeviceActivity | None:
        """A device over time."""
        with self._snapshot(id, limit, "device") as (connection, as_of):
            return find_device(connection, id, limit, as_of) if as_of >= 0 else None

    def device_configuration(
        self, id: str, as_of: datetime | None, limit: int, after: ChangePlace | None = None
    ) -> ConfigurationPage | None:
        """The configuration of a device at `as_of`, now when that is None. Raises `RejectedError` for a naive time."""
        if as_of is not None:
            check_time("as_of", as_of)
        moment = utc(datetime.now(UTC) if as_of is None else as_of)
        with self._snapshot(id, limit, "device") as (connection, position):
            if position < 0:
                return None
            return find_configuration(connection, id, moment, limit, after, position)

    def service(self, id: str, limit: int = DEFAULT_LIMIT) -> ServiceActivity | None:
        """A service over time."""
        with self._snapshot(id, limit, "service") as (connection, as_of):
            return find_service(connection, id, limit, as_of, self._lateness) if as_of >= 0 else None

    def sequence_gaps(self, limit: int = DEFAULT_LIMIT) -> GapList:
        """Missing numbers of all services' events, the newest gaps first."""
        with self._snapshot(None, limit, "service") as (connection, as_of):
            gaps = find_gaps(connection, limit, self._lateness) if as_of >= 0 else []
            return GapList(gaps, as_of)

    def sequence_counts(self) -> dict[str, SequenceCounts]:
        """How many gaps and repeated numbers each service has. Services without any are left out."""
        with self._snapshot(None, 1, "service") as (connection, as_of):
            return count_sequences(connection, self._lateness) if as_of >= 0 else {}

    def resource(self, type: str, id: str) -> ResourceActivity | None:
        """When a resource was first and last accessed."""
        check_identifier("type", type)
        with self._snapshot(id, 1, "activity") as (connection, as_of):
            return find_resource(connection, type, id, as_of) if as_of >= 0 else None

    def named(self, name: str) -> list[Person]:
        """The users with a name, see `find_named`. Raises `ConflictError` when they are too many to be meant."""
        with self._snapshot(name, 1, "user") as (connection, as_of):
            return find_named(connection, name) if as_of >= 0 else []

    def known(self, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` that are an actor's or, by `kind`, a patient's."""
        for id in ids:
            check_identifier("id", id)
        with self._database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
            built = min(checkpoints.get(each, -1) for each in ("activity", "patient")) >= 0
            return known_ids(connection, kind, ids) if built else frozenset()

    def resource_changes(
        self,
        type: str,
        id: str,
        path: str | None,
        limit: int,
        after: HistoryPlace | None = None,
        scope: EventFilter | None = None,
        redact: Redact | None = None,
    ) -> ChangePage:
        """What changed in a resource, newest first; `redact` removes from each event what the principal may not see."""
        check_identifier("type", type)
        check_identifier("id", id)
        check_limit(limit)
        query = plan(EventFilter(resource_type=type, resource_id=id), scope)
        with self._database.transaction(read_only=True) as connection:
            as_of = query.complete_up_to(open_snapshot(connection))
            return find_changes(connection, query, path, limit, after, as_of, redact)

    def own_views(self, owner: str) -> list[SavedView]:
        """The views that a person has saved, by name."""
        with self._snapshot(owner, DEFAULT_LIMIT, "user") as (connection, as_of):
            return find_own_views(connection, owner) if as_of >= 0 else []

    def own_view(self, owner: str, id: UUID) -> SavedView | None:
        """One view that a person has saved."""
        with self._snapshot(owner, 1, "user") as (connection, as_of):
            return find_own_view(connection, owner, id) if as_of >= 0 else None

    def shared_views(
        self, owner: str, roles: Collection[Role], limit: int = DEFAULT_LIMIT, after: Place = BEGIN
    ) -> SharedViews:
        """The views that others than `owner` share with one of `roles`, by name."""
        with self._snapshot(owner, limit, "user") as (connection, as_of):
            if as_of < 0:
                return SharedViews([], None)
            return find_shared_views(connection, owner, roles, limit, after)

    def projections(self) -> list[ProjectionStatus]:
        """Every registered version of every projection."""
        with self._database.transaction(read_only=True) as connection:
            return list_versions(connection)

    def watched_targets(self, limit: int = DEFAULT_LIMIT, after: str = "") -> TargetPage:
        """The targets of the watcher whose names come after `after`, by name."""
        check_limit(limit)
        if after:
            check_identifier("after", after)
        with self._database.transaction(read_only=True) as connection:
            return find_targets(connection, limit, after)

    def followers(self) -> list[FollowerStatus]:
        """Every follower that sends the log elsewhere, and how far it is."""
        with self._database.transaction(read_only=True) as connection:
            return list_followers(connection)

    def positions(self) -> dict[str, int]:
        """The checkpoint of every projection that has a live build."""
        with self._database.transaction(read_only=True) as connection:
            return {name: build.position for name, build in live_builds(connection).items()}

    def projection(self, name: str) -> LiveProjection | None:
        """The tables of one live projection, built-in or custom. None if no projection has this name."""
        check_identifier("name", name)
        with self._database.transaction(read_only=True) as connection:
            return find_live(connection, name)

    def table_rows(self, request: RowRequest) -> RowPage:
        """A page of a live projection's table. Raises `RejectedError` when the request is invalid or too slow."""
        check_identifier("name", request.projection)
        advice = "filter on the table's key or a column with an index"
        with _in_time(True, advice), self._database.foreign_snapshot() as connection:
            return find_rows(connection, request)

    @contextmanager
    def _snapshot(self, id: str | None, limit: int, *names: str) -> Iterator[tuple[Connection, int]]:
        """A snapshot, and the position up to which all of the named projections are complete in it."""
        if id is not None:
            check_identifier("id", id)
        check_limit(limit)
        with self._database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
            yield connection, min(checkpoints.get(name, -1) for name in names)


@contextmanager
def _in_time(is_large: bool, advice: str) -> Iterator[None]:
    """Translate the time-out of a query that `is_large` into a `RejectedError`: the query is at fault."""
    try:
        yield
    except TooSlowError as exc:
        if not is_large:
            raise
        raise ConflictError(
            Reason.INVALID_FIELD, f"the query took too long: {advice}", field="filter"
        ) from exc
