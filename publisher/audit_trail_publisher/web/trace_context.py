"""The trace id of a request: W3C Trace Context, level 1, section 3.2 (`traceparent`)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

TRACEPARENT = "traceparent"
_FORM = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


def trace_id(values: Sequence[str]) -> str | None:
    """The trace id, 32 hexadecimal digits; None if there is not exactly one valid `traceparent`.

    A later version may be longer than version 00 and is read as far as 00 goes (section 3.2.4).
    """
    found = _FORM.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return found["trace"]


def new_trace_id() -> str:
    """A random id of the same form, so that the events of a request without a trace still belong together."""
    return secrets.token_hex(16)
