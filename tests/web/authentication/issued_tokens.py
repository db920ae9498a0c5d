"""The principal of a token of an issuer, or why it is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError
from tests.tokens import AUDIENCE, ISSUER, Keys
from web.authentication.bearer import IssuedTokens
from web.authentication.claims import ClaimNames


def ask(text: str, *keys: dict[str, Any], names: ClaimNames | None = None) -> Principal | None:
    """The principal of a token."""
    return asyncio.run(IssuedTokens({ISSUER: Keys(*keys)}, [AUDIENCE], names).principal(text))


def why(text: str, *keys: dict[str, Any]) -> str:
    """Why a token is refused."""
    with pytest.raises(UnauthenticatedError) as refused:
        ask(text, *keys)
    assert refused.value.code == "invalid_token"
    return refused.value.message
