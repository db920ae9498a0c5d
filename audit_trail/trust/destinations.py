"""Where signed heads are published to."""

from __future__ import annotations

from audit_trail.environment import PREFIX
from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from audit_trail.trust.keys import trusted_keys
from domain.errors import ConfigurationError, ProofError
from event_store.database import Database
from event_store.publication.destination import Destination
from event_store.publication.folder import HeadFolder
from event_store.publication.remote import Webhook, Witness
from event_store.tlog.notes import VerifierKey
from ingest.head_topic import HeadTopic
from ingest.publisher import Publisher


def destinations(settings: Settings, database: Database, publisher: Publisher) -> list[Destination]:
    """The destinations of signed heads. `database` is the guard's. The caller closes `publisher`."""
    places = kept_places(settings, publisher)
    keys, _ = trusted_keys(settings)
    if settings.heads_webhook is not None:
        places.append(Webhook(settings.heads_webhook.get_secret_value()))
    for entry in settings.witnesses:
        vkey, _, url = entry.partition(" ")
        try:
            places.append(Witness(VerifierKey.parse(vkey), url.strip(), database, keys))
        except ProofError as exc:
            raise ConfigurationError(
                f"{PREFIX}WITNESSES: {vkey[:80]!r} is no public key ({exc}); each entry is a vkey, a space, and a URL"
            ) from exc
    return places


def kept_places(settings: Settings, publisher: Publisher) -> list[Destination]:
    """The destinations that keep heads and give them back."""
    places: list[Destination] = []
    if settings.heads_folder is not None:
        places.append(HeadFolder(settings.heads_folder))
    if settings.heads_topic:
        places.append(HeadTopic(ingest_settings(settings), settings.heads_topic, publisher))
    return places
