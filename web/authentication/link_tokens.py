"""The tokens of shared links: an encrypted text in a link's path.

The key is that of the sessions, for another audience: a link is never a session, and a session never a link.
"""

from __future__ import annotations

import re

import msgspec

from domain.access.shared_link import SharedLink
from domain.errors import Reason, RejectedError
from web.authentication.sessions import MOST_BYTES, Sealing, Sessions

_AUDIENCE = "shared link"
_TOKEN = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)
"""Python's decoder of base64 ignores what follows the padding."""


class LinkTokens:
    """Makes and reads the tokens. `lasting`: they outlive the process."""

    def __init__(self, sessions: Sessions) -> None:
        self._sealing: Sealing = sessions.sealing(_AUDIENCE)
        self.lasting = sessions.lasting

    def make(self, link: SharedLink) -> str:
        """The token. Raises `RejectedError` for a filter that makes an address too long."""
        token = self._sealing.encrypt(msgspec.json.encode(link))
        if len(token) > MOST_BYTES:
            raise RejectedError(
                Reason.INVALID_FIELD, "too long for a link: give it fewer values", field="filter"
            )
        return token

    def read(self, token: str) -> SharedLink | None:
        """The link of a token; None for any other text."""
        data = self._sealing.decrypt(token) if _TOKEN.fullmatch(token) else None
        try:
            return None if data is None else msgspec.json.decode(data, type=SharedLink)
        except msgspec.ValidationError:
            return None
