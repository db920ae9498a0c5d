"""Where signed heads are published to."""

from __future__ import annotations

from collections import Counter

from audit_trail.environment import PREFIX
from audit_trail.ingest_settings import ingest_settings
from audit_trail.policy_file import SETTING
from audit_trail.settings import Settings
from audit_trail.trust.keys import trusted_keys, witness_policy
from domain.errors import ConfigurationError, ProofError
from event_store.database import Database
from event_store.publication.destination import Destination
from event_store.publication.folder import HeadFolder
from event_store.publication.remote import Webhook, Witness
from event_store.tlog.notes import VerifierKey
from event_store.tlog.policy import Policy
from ingest.head_topic import HeadTopic
from ingest.publisher import Publisher


def destinations(settings: Settings, database: Database, publisher: Publisher) -> list[Destination]:
    """The destinations of signed heads. `database` is the guard's. The caller closes `publisher`."""
    found = readable_destinations(settings, publisher)
    keys, _ = trusted_keys(settings)
    if settings.heads_webhook is not None:
        found.append(Webhook(settings.heads_webhook.get_secret_value()))
    policy = witness_policy(settings)
    witnesses = _named(settings, policy)
    if policy is not None and not policy.is_satisfied_by([key for key, _ in witnesses]):
        raise ConfigurationError(
            f"{SETTING}: the witnesses with a URL are no quorum, so no head can satisfy it: give their URLs"
        )
    names = Counter(key.name for key, _ in witnesses)
    for key, url in witnesses:
        # One witness may have several keys of one name, and each has findings and metrics of its own.
        name = key.name if names[key.name] == 1 else f"{key.name}+{key.key_id.hex()}"
        found.append(Witness(key, url, database, keys, name=f"witness {name}"))
    return found


def _named(settings: Settings, policy: Policy | None) -> list[tuple[VerifierKey, str]]:
    """The keys and URLs of the witnesses: those of the settings, else those of the policy."""
    if not settings.witnesses and policy is not None:
        # The policy's text is bytes, and parsed as Latin-1.
        return [
            (party.key, party.url.encode("latin-1").decode(errors="replace"))
            for party in policy.witnesses.values()
            if party.url
        ]
    found = []
    for entry in settings.witnesses:
        vkey, _, url = entry.partition(" ")
        try:
            found.append((VerifierKey.parse(vkey), url.strip()))
        except ProofError as exc:
            raise ConfigurationError(
                f"{PREFIX}WITNESSES: {vkey[:80]!r} is no public key ({exc}); each entry is a vkey, a space, and a URL"
            ) from exc
    return found


def readable_destinations(settings: Settings, publisher: Publisher) -> list[Destination]:
    """The destinations from which published heads can be read back."""
    found: list[Destination] = []
    if settings.heads_folder is not None:
        found.append(HeadFolder(settings.heads_folder))
    if settings.heads_topic:
        found.append(HeadTopic(ingest_settings(settings), settings.heads_topic, publisher))
    return found
