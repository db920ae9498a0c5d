"""The key that signs the logs of the tests: a new one for every run."""

from __future__ import annotations

import os

from event_store.signing import HeadSigner, read_signer
from event_store.tlog.notes import SigningKey

_VARIABLE = "AUDIT_TRAIL_TEST_LOG_KEY"

KEY = SigningKey.parse(
    # A process that a test starts signs the same log.
    os.environ.setdefault(_VARIABLE, SigningKey.generate("audit-trail.test/log").encode())
)
TEXT = KEY.encode()


def signer() -> HeadSigner:
    """A signer that has seen no log yet."""
    return read_signer(TEXT)
