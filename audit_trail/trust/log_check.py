"""What a process does with the log before its first append: check it, and sign an empty one."""

from __future__ import annotations

from contextlib import closing

from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from audit_trail.trust.destinations import readable_destinations
from audit_trail.trust.keys import signer, trusted_keys
from domain.errors import LogInconsistentError
from event_store.database import INGEST, Database
from event_store.first_signature import sign_empty
from event_store.heads import newest_head
from event_store.publication.forks import refuse_forks
from event_store.stored_tree import StoredTree
from event_store.verify.run import verify
from ingest.publisher import Publisher


def check_log(settings: Settings, database: Database) -> None:
    """Check the log before the first append of a process.

    It must continue the published heads and the head that one of our keys signed last, and its end must be intact. A
    log without events gets its first signed head.

    Raises `LogInconsistentError`, and `UnavailableError` while a destination that keeps heads is away.
    """
    keys, _ = trusted_keys(settings)
    publisher = Publisher(ingest_settings(settings))
    with closing(publisher):
        refuse_forks(database, keys, readable_destinations(settings, publisher))
    with database.transaction(read_only=True) as connection:
        tree = StoredTree(connection)
        newest = newest_head(connection)
    size = tree.size
    # The append checks this too, but only when there is something to append: a wrong key is noticed at the start.
    by = signer(settings)
    by.check(size, tree.root, newest and (newest.size, newest.note))
    report = verify(settings.require_database_url(), INGEST, keys, since=size)
    wrong = [finding for finding in report.findings if finding.position is not None]
    if wrong:
        raise LogInconsistentError(f"nothing is appended: {wrong[0]}; run `audit-trail verify`")
    if newest is None:
        sign_empty(database, by)
