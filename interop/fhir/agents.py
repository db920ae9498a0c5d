"""AuditEvent.agent: the actor, the network address, the represented organisation and the recipient."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from domain.event import Actor, ActorKind, Client
from interop import truncation
from interop.fhir.elements import Contained, Json, Target, codes, codings, mapping, objects, string, words

APPLICATION, LAUNCHER = "110150", "110151"
DESTINATION, SOURCE, DESTINATION_MEDIA, SOURCE_MEDIA = "110152", "110153", "110154", "110155"

_PARTICIPATION = "v3-ParticipationType"
_NO_PERSONS = {"DEV", "NRD", "RDV", "LOC", "DST", "ORG", "BEN", "SBJ"}
_PERSONS = {"humanuser", "UserOauthAgent", "UserSamlAgent"}
_SERVICES = {APPLICATION, LAUNCHER, "authserver", "AuthzOauthService", "dataprocessor", "datacollector"}
_TRANSPORT = {DESTINATION, SOURCE}
_KINDS = {
    "Practitioner": ActorKind.USER,
    "PractitionerRole": ActorKind.USER,
    "RelatedPerson": ActorKind.USER,
    "Person": ActorKind.USER,
    "Patient": ActorKind.PATIENT,
    "Device": ActorKind.DEVICE,
    "Organization": ActorKind.ORGANIZATION,
    "CareTeam": ActorKind.ORGANIZATION,
    "HealthcareService": ActorKind.SERVICE,
    "Endpoint": ActorKind.SERVICE,
}


class Agent(Struct, frozen=True):
    """One agent. `who` is the person or thing; `device` is the device that its reference names, if any."""

    who: Target
    device: Target | None
    codes: frozenset[str]
    requestor: bool
    person: bool
    name: str | None
    alternative_id: str | None
    address: str | None
    roles: tuple[str, ...]
    purposes: tuple[str, ...]
    policies: tuple[str, ...]

    @property
    def id(self) -> str | None:
        """The identifier of this agent: reference, else alternative id, else name."""
        return self.who.key or self.alternative_id or self.name

    @property
    def kind(self) -> ActorKind:
        """The kind of actor: the type of the reference decides, then the type of the agent."""
        if self.who.type in _KINDS:
            return _KINDS[self.who.type]
        if self.person:
            return ActorKind.USER
        if self.codes & _SERVICES:
            return ActorKind.SERVICE
        if self.requestor:
            # A requestor that is also source or destination may be a program. A name indicates a person.
            unnamed = self.codes & _TRANSPORT and not (self.name or self.who.display)
            return ActorKind.UNKNOWN if unnamed else ActorKind.USER
        return ActorKind.SERVICE if self.codes & _TRANSPORT else ActorKind.UNKNOWN


def read_agents(resource: Json, contained: Contained) -> list[Agent]:
    """The agents in document order."""
    return [_read(item, contained) for item in objects(resource.get("agent"))]


def _read(item: Json, contained: Contained) -> Agent:
    who = contained.target(item.get("who") or item.get("reference"))  # STU3: agent.reference
    if who == Target():
        who = Target(identifier=string(mapping(item.get("userId")).get("value")))  # STU3: agent.userId
    person = _is_person(item)
    device = who if who.type == "Device" else None
    if device and person and (who.identifier or who.display):
        # Real events merge the user and the user's server into one agent; then the identifier is the user's.
        who = Target(identifier=who.identifier, display=who.display)
    return Agent(
        who=who,
        device=device,
        codes=frozenset(codes(item.get("type"))),
        requestor=item.get("requestor") is True,
        person=person,
        name=string(item.get("name")),
        alternative_id=string(item.get("altId")) or _alternative_id(item),
        address=_address(item, contained),
        roles=tuple(words(item.get("role"))),
        purposes=tuple(words(item.get("purposeOfUse")) + words(item.get("authorization"))),
        policies=_policies(item),
    )


def _is_person(item: Json) -> bool:
    for coding in codings(item.get("type")):
        if coding.code in _PERSONS:
            return True
        if (coding.system or "").endswith(_PARTICIPATION) and coding.code not in _NO_PERSONS:
            return True
    return False


def _policies(item: Json) -> tuple[str, ...]:
    value = item.get("policy")
    found = (string(policy) for policy in (value if isinstance(value, list) else [value]))
    return tuple(policy for policy in found if policy)


def _alternative_id(item: Json) -> str | None:
    """R5 represents `altId` as an extension."""
    for extension in objects(item.get("extension")):
        if str(extension.get("url")).endswith("auditevent-AlternativeUserID"):
            return string(mapping(extension.get("valueIdentifier")).get("value"))
    return None


def _address(item: Json, contained: Contained) -> str | None:
    """R4 `network.address`; R5 `networkString`, `networkUri` or `networkReference`."""
    network = string(mapping(item.get("network")).get("address")) or string(item.get("networkString"))
    uri = string(item.get("networkUri"))
    if network or not uri:
        return network or contained.target(item.get("networkReference")).key
    bare = (
        uri.rpartition("://")[2].removeprefix("urn:ipv6:").removeprefix("urn:ipv4:").rstrip("/").strip("[]")
    )
    return bare if _is_ip(bare) else uri


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def choose_actor(agents: Sequence[Agent], *, is_read: bool) -> Agent | None:
    """The actor: the requestor, preferring persons to machines; without a requestor a person, then the client's side.

    In a read, data flows from the server, so the client is the destination; in any other action it is the source.
    """
    client = DESTINATION if is_read else SOURCE

    def rank(agent: Agent) -> tuple[bool, ...]:
        known = agent.id is not None
        return (
            agent.requestor,
            agent.person and (known or agent.requestor),
            known and agent.who.type != "Device" and agent.kind in {ActorKind.USER, ActorKind.PATIENT},
            known and APPLICATION in agent.codes,
            known and client in agent.codes,
            known,
        )

    return max(agents, key=rank, default=None)


def to_actor(agent: Agent | None, agents: Sequence[Agent]) -> Actor:
    """The event's actor. An agent without known identifiers stays without an id: unattributed."""
    if agent is None:
        return Actor(kind=ActorKind.UNKNOWN)
    id = truncation.identifier(agent.id)
    name = truncation.name(agent.name or agent.who.display)
    return Actor(
        kind=agent.kind,
        id=id,
        name=None if name == id else name,
        roles=tuple(dict.fromkeys(filter(None, map(truncation.name, agent.roles)))),
        on_behalf_of=_on_behalf_of(agent, agents),
    )


def _on_behalf_of(actor: Agent, agents: Sequence[Agent]) -> str | None:
    for agent in agents:
        if (
            agent is not actor
            and agent.who.type == "Organization"
            and not agent.codes & {SOURCE, DESTINATION}
        ):
            return truncation.identifier(agent.id)
    return None


def to_client(actor: Agent | None, agents: Sequence[Agent], *, is_read: bool) -> Client | None:
    """The actor's network address, else the address of the client machine."""
    order = [APPLICATION, DESTINATION, SOURCE] if is_read else [APPLICATION, SOURCE]
    sides = [agent for code in order for agent in agents if code in agent.codes]
    # When one agent stands for a user and the user's server, its address is the server's.
    own = [actor] if actor and (actor.device is None or actor.device is actor.who) else []
    for agent in [*own, *(side for side in sides if side is not actor)]:
        address = truncation.identifier(agent.address)
        if address:
            return Client(address=address)
    return None


def choose_recipient(agents: Sequence[Agent]) -> Agent | None:
    """The recipient: the destination, else the destination media, else the information recipient (IRCP)."""
    for code in (DESTINATION, DESTINATION_MEDIA, "IRCP"):
        for agent in agents:
            if code in agent.codes:
                return agent
    return None


def describe(agent: Agent) -> dict[str, Any]:
    """The stored description of an agent that is not the actor."""
    found = {
        "type": sorted(agent.codes),
        "id": agent.id,
        "name": agent.name or agent.who.display,
        "address": agent.address,
    }
    return {key: value for key, value in found.items() if value}
