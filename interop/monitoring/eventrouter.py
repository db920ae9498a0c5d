"""The body that eventrouter's HTTP sink sends: syslog messages (RFC 5424) with octet counts (RFC 6587), each of JSON.

Source: `sinks/httpsink.go` and `sinks/eventdata.go` of its code.
"""

from __future__ import annotations

import re

from domain.errors import InvalidEventError, Reason
from domain.json_parsing import MAX_CONTAINERS, containers

_COUNT = re.compile(rb"\s*([1-9][0-9]{0,7}) (?=<[0-9]{1,3}>1 )")

_END = re.compile(rb"\s*\Z")


def is_framed(body: bytes) -> bool:
    """Whether a body begins with an octet count and a syslog message."""
    return _COUNT.match(body) is not None


def unframed(body: bytes) -> list[bytes]:
    """The JSON of each message. Raises `InvalidEventError` when the counts do not fit, or for too much in all."""
    found: list[bytes] = []
    at = 0
    while _END.match(body, at) is None:
        match = _COUNT.match(body, at)
        if match is None:
            raise InvalidEventError(Reason.INVALID_ENCODING, "the octet count of a message is missing")
        end = match.end() + int(match[1])
        message = body[match.end() : end]
        begin = message.find(b"{")
        if end > len(body) or begin < 0:
            raise InvalidEventError(Reason.INVALID_ENCODING, "the octet count of a message is wrong")
        found.append(message[begin:])
        at = end
    # The parser counts for one message; all of them are held at once.
    if sum(map(containers, found)) > MAX_CONTAINERS:
        raise InvalidEventError(
            Reason.OVERSIZED, f"more than {MAX_CONTAINERS} arrays and objects; send fewer events at once"
        )
    return found
