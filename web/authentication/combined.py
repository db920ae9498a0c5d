"""All kinds of accepted tokens."""

from __future__ import annotations

from collections.abc import Sequence

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError
from web.authentication.bearer import Authenticator

_LONGEST_HEADER = 20_000


class Authentication:
    """Reads the `Authorization` header (RFC 9110, section 11.6.2) and tries each kind of token in turn."""

    def __init__(self, kinds: Sequence[Authenticator] = ()) -> None:
        self._kinds = kinds

    async def principal(self, given: Sequence[str]) -> Principal:
        """The principal, by the values of the header.

        Raises `UnauthenticatedError`, or `UnavailableError` while a token can't be checked.
        """
        if len(given) != 1:
            raise UnauthenticatedError("send a token as `Authorization: Bearer ...`, once")
        scheme, _, token = given[0][:_LONGEST_HEADER].partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or not token.isascii():
            raise UnauthenticatedError("send a token as `Authorization: Bearer ...`, once")
        for kind in self._kinds:
            found = await kind.principal(token)
            if found is not None:
                return found
        raise UnauthenticatedError("the token is not valid", code="invalid_token")
