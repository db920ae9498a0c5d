"""The rows of the subjects' summaries in the schema. Resolvers return the read models' own structs."""

from __future__ import annotations

from datetime import datetime

from strawberry.scalars import JSON

from domain.event import Outcome
from graphql_api.types.descriptions import described, documented
from graphql_api.types.scalars import Long


@documented
class PatientAccess:
    """One actor's accesses to one patient."""

    actor_id: str | None = described("The actor's id; null for all actors without an id.")
    actor_name: str | None = described("The actor's name, as last reported.")
    accesses: Long = described("How many successful accesses to data.")
    first_at: datetime = described("The time of the first.")
    last_at: datetime = described("The time of the last.")
    purposes: list[str] = described("The purposes of use that were given.")


@documented
class UserSession:
    """A session of a user, derived from events."""

    session: str = described("The session's id.")
    started_at: datetime | None = described("When it began, if an event said so.")
    ended_at: datetime | None = described("When it ended, if an event said so.")
    last_seen: datetime = described("The last event in it.")
    events: Long = described("The number of events.")


@documented
class UserPatient:
    """One patient whom a user's events name."""

    patient_id: str = described("The patient's id.")
    events: Long = described("The number of events.")
    first_at: datetime = described("The time of the first.")
    last_at: datetime = described("The time of the last.")


@documented
class UserAction:
    """The number of a user's events of one type."""

    type: str = described("The event type.")
    events: Long = described("The number of events.")


@documented
class VersionPeriod:
    """A version that a device was seen with."""

    version: str = described("The version.")
    first_at: datetime = described("When it was first seen.")
    last_at: datetime = described("When it was last seen.")


@documented
class ConfigurationChange:
    """One field's change in a device's configuration."""

    position: Long = described("The position of the event.")
    occurred_at: datetime = described("When it was changed.")
    actor_id: str | None = described("Who changed it.")
    path: str = described("Which field.")
    before: JSON | None = described("The value before, any JSON.")
    after: JSON | None = described("The value after, any JSON.")
    outcome: Outcome = described("The outcome of the event. After a failure the field has its old value.")


@documented
class StatePeriod:
    """A period in which a service was in one state."""

    state: str = described("`up`, `down` or `failing` (its health check).")
    from_at: datetime = described("When the period began.")
    until_at: datetime | None = described("When it ended; null for the present one.")
    instance: str | None = described("The instance of the service.")


@documented
class ApiUse:
    """The API calls of one hour by one method."""

    hour: datetime = described("The hour's beginning.")
    method: str = described("The HTTP method.")
    calls: Long = described("The number of calls.")
    failures: Long = described("The number of failed calls.")
    duration_ms: float = described("The sum of their durations, in milliseconds.")


@documented
class Projection:
    """The progress of a projection."""

    name: str = described("The projection's name.")
    version: int = described(
        "The version of the code that made it; a rebuild makes a build, of the same version or another."
    )
    position: Long = described("Its checkpoint: the last position that it applied, -1 for none.")
    lag: Long = described("How many positions of the log it has not applied yet.")
    state: str = described(
        "Of the live build `running`, `catching up`, `stalled` (events wait, and nothing applies them), `paused`,"
        " `failed`, `needs rebuild` or `needs newer program`; of another one `loading`, `indexing`, `ready`, `scratch`"
        " (made by verify) or `failed`."
    )
    live: bool = described("Whether queries are answered from this version.")
    failed_position: Long | None = described("The position of the poison event that stopped it.")
    failed_event_id: str | None = described("The id of that event.")
