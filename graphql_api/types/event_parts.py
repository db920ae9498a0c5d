"""The parts of an event in the schema.

These classes only declare the schema. Resolvers return the domain's own structs, whose attributes have the same names,
so that a page copies nothing.
"""

from __future__ import annotations

from strawberry.scalars import JSON

from domain.event import ActorKind
from graphql_api.types.descriptions import described, documented
from graphql_api.types.scalars import Long


@documented
class Source:
    """Who reports the event: FHIR AuditEvent.source."""

    service: str = described("The reporting service.")
    site: str | None = described("The site that it runs at.")
    instance: str | None = described("The instance of the service.")
    sequence: Long | None = described("The number that the instance gave the event, counted from 1.")


@documented
class Actor:
    """Who acted: the FHIR AuditEvent.agent that is the requestor."""

    kind: ActorKind = described("What acted: a user, a service, a device ...")
    id: str | None = described("The actor's identifier; null when the event could not be attributed.")
    name: str | None = described("The actor's name, as the source gave it.")
    roles: list[str] = described("The roles in which the actor acted.")
    on_behalf_of: str | None = described("On whose behalf the actor acted.")


@documented
class Client:
    """Where the actor came from: FHIR AuditEvent.agent.network."""

    address: str | None = described("The network address.")
    user_agent: str | None = described("The user agent.")


@documented
class Patient:
    """A subject of care whose data the event is about."""

    id: str = described("The patient's identifier.")
    name: str | None = described("The patient's name, as the source gave it.")


@documented
class Device:
    """The device that the event is about, as it was known at that time."""

    id: str = described("The device's identifier.")
    name: str | None = described("The device's name.")
    software_version: str | None = described("The software version at that time.")
    configuration_version: str | None = described("The version of the configuration at that time.")


@documented
class Resource:
    """What was touched: FHIR AuditEvent.entity.what."""

    type: str = described("The type of the resource, such as `Observation`.")
    id: str = described("The identifier within the type.")
    version: str | None = described("The version that was read or written.")
    data_category: str | None = described("The category of data that it holds.")


@documented
class Change:
    """One field's change. Both values are kept (21 CFR 11.10(e))."""

    path: str = described("Which field changed.")
    before: JSON | None = described("The value before, any JSON.")
    after: JSON | None = described("The value after, any JSON.")


@documented
class Request:
    """The API request behind the event."""

    method: str | None = described("The HTTP method.")
    path: str | None = described("The requested path.")
    status: int | None = described("The HTTP status that was answered.")
    duration_ms: float | None = described("How long the answer took, in milliseconds.")


@documented
class Disclosure:
    """The particulars of a disclosure (45 CFR 164.528(b)(2))."""

    recipient: str | None = described("Who received the data.")
    recipient_address: str | None = described("The recipient's address.")
    description: str | None = described("What was disclosed.")
    purpose: str | None = described("Why it was disclosed.")


@documented
class Coding:
    """A code as the reporting system gave it: FHIR Coding."""

    system: str | None = described("The code system.")
    code: str | None = described("The code.")
    display: str | None = described("The code in words.")
