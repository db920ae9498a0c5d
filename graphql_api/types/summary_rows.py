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
    roles: list[str] = described("The roles in which the actor acted.")
    emergencies: Long = described("How many events under break-glass.")
    without_purpose: Long = described("How many accesses without a purpose of use.")


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
class ServiceInstance:
    """An instance of a service that numbers its events, from 1 and without a gap."""

    instance: str | None = described("The instance.")
    events: Long = described("How many numbered events came.")
    highest: Long = described("The highest number.")
    first_at: datetime = described("The time of the first, by the source's clock.")
    last_at: datetime = described("The time of the last, by the source's clock.")


@documented
class SequenceGap:
    """Numbers that no event of an instance has, although an event has a higher one: these events are missing."""

    service: str = described("The service.")
    instance: str | None = described("The instance of the service.")
    from_number: Long = described("The first missing number.")
    to_number: Long = described("The last missing number.")
    noticed_at: datetime | None = described("When the first event with a higher number was recorded.")
    late: bool = described("Whether that is longer ago than missing events may be on their way.")


@documented
class SequenceConflict:
    """Numbers of an instance that more than one event has."""

    service: str = described("The service.")
    instance: str | None = described("The instance of the service.")
    from_number: Long = described("The first such number.")
    to_number: Long = described("The last such number.")


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


@documented
class Follower:
    """A follower sends the events that it may see to another system, and remembers how far it is."""

    name: str = described("Its name.")
    destination: str = described("The receiver, without what is confidential of its address.")
    state: str = described(
        "`running`, `failing` (the receiver is away, or refuses this client), `stopped` (it refuses one record for"
        " good), `paused`, `waiting` (the trail does not have the newest decision about it yet), `unattended` (no"
        " process forwards) or `removed` (the file of followers no longer names it)."
    )
    position: Long = described(
        "Its checkpoint: the receiver has every record up to this position; -1 for none."
    )
    lag: Long = described("How many positions of the log come after that.")
    lag_seconds: float = described(
        "How long ago the first event after the checkpoint was recorded; 0 for none."
    )
    sent: Long = described("How many records the receiver has confirmed.")
    sent_position: Long | None = described("The position of the last one.")
    sent_at: datetime | None = described("When it confirmed the last one.")
    problem: str | None = described("Why the last attempt failed.")
    problem_since: datetime | None = described("Since when attempts fail.")
    failed_position: Long | None = described("The position of the record that the receiver refuses for good.")
