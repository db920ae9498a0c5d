"""What the log is signed and verified with, and where its heads are kept: put together from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from audit_trail.components import ingest_settings
from audit_trail.settings import PREFIX, Settings
from domain.errors import ConfigurationError, LogInconsistentError, ProofError
from event_store.database import INGEST, Database
from event_store.files.folders import read_file, read_input
from event_store.heads import MAX_HEAD_BYTES, newest_head
from event_store.publication.destination import Destination
from event_store.publication.folder import HeadFolder
from event_store.publication.forks import refuse_forks
from event_store.publication.remote import Webhook, Witness
from event_store.signing import HeadSigner, read_key_file, read_public, read_signer
from event_store.stored_tree import StoredTree
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import open_head
from event_store.verify.run import ExternalHead, verify
from ingest.head_topic import HeadTopic
from ingest.publisher import Publisher

MOST_KEPT_BYTES = 1 << 30
"""Of all heads that are compared in one verification: a head a minute for some years."""


def key_text(settings: Settings) -> str:
    """The lines of the key file. Raises `ConfigurationError` when there are none."""
    if settings.log_key is not None:
        return settings.log_key.get_secret_value()
    if settings.log_key_file is None:
        raise ConfigurationError(
            f"{PREFIX}LOG_KEY_FILE is not set: what appends signs the log's head."
            " Make a key once, with `audit-trail keys new`"
        )
    return read_key_file(settings.log_key_file)


def signer(settings: Settings) -> HeadSigner:
    """What signs tree heads."""
    return read_signer(key_text(settings))


def trusted_keys(settings: Settings, vkeys: Sequence[str] = ()) -> tuple[tuple[VerifierKey, ...], bool]:
    """The public keys that the log is verified with, and whether anyone told us: given ones, the settings', the key's.

    Without either the database has to name them, which proves little. Raises `ConfigurationError` for a malformed one.
    """
    told = vkeys or settings.log_vkeys
    if told:
        try:
            return tuple(map(VerifierKey.parse, told)), True
        except ProofError as exc:
            raise ConfigurationError(f"a public key of the log can't be read: {exc}") from exc
    if settings.log_key is None and settings.log_key_file is None:
        return (), False
    keys = tuple(read_public(key_text(settings)))
    return keys, bool(keys)


def destinations(settings: Settings, database: Database, publisher: Publisher) -> list[Destination]:
    """Where signed heads are published to. `database` is the guard's, and `publisher` stays the caller's."""
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
    """Those of them that keep heads and can be asked for them."""
    places: list[Destination] = []
    if settings.heads_folder is not None:
        places.append(HeadFolder(settings.heads_folder))
    if settings.heads_topic:
        places.append(HeadTopic(ingest_settings(settings), settings.heads_topic, publisher))
    return places


def check_log(settings: Settings, database: Database) -> None:
    """Check the log before the first append of a process.

    It must continue the published heads and the head that one of our keys signed last, and its end must be intact.

    Raises `LogInconsistentError`, and `UnavailableError` while a place that keeps heads is away.
    """
    keys, _ = trusted_keys(settings)
    publisher = Publisher(ingest_settings(settings))
    with closing(publisher):
        refuse_forks(database, keys, kept_places(settings, publisher))
    with database.transaction(read_only=True) as connection:
        tree = StoredTree(connection)
        newest = newest_head(connection)
    size = tree.size
    # The append checks this too, but only when there is something to append: a wrong key is noticed at the start.
    signer(settings).check(size, tree.root, newest and (newest.size, newest.note))
    report = verify(settings.require_database_url(), INGEST, keys, since=size)
    wrong = [finding for finding in report.findings if finding.position is not None]
    if wrong:
        raise LogInconsistentError(f"nothing is appended: {wrong[0]}; run `audit-trail verify`")


def published_heads(settings: Settings, keys: Sequence[VerifierKey]) -> list[ExternalHead]:
    """The newest heads of this log in the settings' folder; whatever else lies there is no head of it."""
    folder = settings.heads_folder
    if folder is None or not keys:
        return []
    heads = []
    for note in HeadFolder(folder).published():
        with suppress(ProofError):
            open_head(note, keys, keys[0].name)
            heads.append(ExternalHead(note, str(folder)))
    return heads


def external_heads(places: Sequence[Path], most_bytes: int = MOST_KEPT_BYTES) -> list[ExternalHead]:
    """The signed heads in files, and in all files of folders.

    Raises `ConfigurationError` when one can't be read, when a folder holds something that is no ordinary file, and when
    the files have more than `most_bytes` together.
    """
    heads = []
    left = most_bytes
    for place in places:
        for file, read in _head_files(place):
            try:
                note = read(file, MAX_HEAD_BYTES)
            except OSError as exc:
                raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
            left -= len(note)
            if left < 0:
                raise ConfigurationError(
                    f"the signed heads have more than {most_bytes} bytes together: give --tree-head fewer of them"
                )
            heads.append(ExternalHead(note, str(file)))
    return heads


def _head_files(place: Path) -> Iterator[tuple[Path, Callable[[Path, int], bytes]]]:
    """Each file, and how to read it: a pipe may be named, and is not expected in a folder."""
    if not place.is_dir():
        yield place, read_input
        return
    files = [each for each in sorted(place.rglob("*")) if not each.is_dir()]
    if not files:
        raise ConfigurationError(f"there is no signed head in {place}: is its disk there?")
    yield from ((file, partial(read_file, closed_to=0)) for file in files)
