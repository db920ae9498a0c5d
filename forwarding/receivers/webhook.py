"""A signed webhook, as https://www.standardwebhooks.com specifies it.

The signature is HMAC-SHA256 over the id, the time and the body of the request. A receiver compares it, and refuses a
time that is more than a few minutes away: so nobody can send an old request again. The id of a request is the same
whenever the same records are sent again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from domain.errors import ConfigurationError
from forwarding.bodies import BODIES
from forwarding.receivers.http import HttpReceiver, authorization
from forwarding.receivers.secrets import read_secret
from forwarding.records import Encoded, Record
from forwarding.settings import Webhook

_PREFIX = "whsec_"
_LEAST, _MOST = 24, 64
"""Bytes of a key."""


class SignedWebhook(HttpReceiver):
    """A URL that takes records as one JSON document, and answers 2xx when it has stored all of them."""

    def __init__(self, settings: Webhook, field: str) -> None:
        """Raises `ConfigurationError`."""
        super().__init__(settings, field, "webhook")
        files = {"secret_file": settings.secret_file, "previous_secret_file": settings.previous_secret_file}
        self._keys = [_key(path, f"{field}.{name}") for name, path in files.items() if path is not None]
        self._headers = authorization(settings.authorization_file, field)
        self._body = settings.body

    def encode(self, record: Record) -> Encoded:
        """One JSON object."""
        leaf = record.leaf
        identity = f"{record.follower} {leaf.leaf_hash.hex()} {record.recorded.event.event_id}\n"
        return Encoded(leaf.position, BODIES[self._body](record), identity.encode())

    def send(self, records: Sequence[Encoded]) -> str:
        """POST the records, signed."""
        data = b"[" + b",".join(each.data for each in records) + b"]"
        id = f"msg_{sha256(b''.join(each.identity for each in records)).hexdigest()[:32]}"
        body = data if self._body == "ocsf" else _enveloped(data)
        headers = {"Content-Type": "application/json", **self._headers}
        answer = self.post(
            self.target, body, headers | signed_headers(self._keys, id, int(time.time()), body)
        )
        self.require_success(answer)
        return f"it answered {answer.status}"


def signed_headers(keys: Sequence[bytes], id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers of a request at `at` (seconds since 1970), with one signature for each key."""
    signed = f"{id}.{at}.".encode() + body
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in digests),
    }


def _enveloped(data: bytes) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return b'{"type":"audit_trail.records","timestamp":"%s","data":%s}' % (now.encode(), data)


def _key(path: str, field: str) -> bytes:
    text = read_secret(path, field).removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ConfigurationError(f"{field}: write {_PREFIX} and the key in base64") from exc
    if not _LEAST <= len(key) <= _MOST:
        raise ConfigurationError(f"{field}: the key must have {_LEAST} to {_MOST} bytes")
    return key
