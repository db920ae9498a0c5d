"""The types of settings that have a syntax of their own. A malformed value is refused when the settings are loaded.

Each check raises `ValueError` with what to write instead, and quotes no secret. What a check needs is imported when the
setting is given, so that commands without it start fast.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from domain.errors import ConfigurationError, ProofError


def _split(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _each(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda value: tuple(map(check, value)))


def _network(text: str) -> str:
    """An address, or a network with its first address, the one spelling that uvicorn compares with."""
    try:
        network = ip_network(text, strict=False)
    except ValueError as exc:
        raise ValueError(f"{text!r} is no address and no network such as 10.0.0.0/8") from exc
    return str(network) if "/" in text else str(network.network_address)


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not host:port")
    return text


def _vkey(text: str) -> str:
    from event_store.tlog.notes import VerifierKey  # noqa: PLC0415 - only when it is given

    try:
        VerifierKey.parse(text)
    except ProofError as exc:
        raise ValueError(f"{text[:80]!r} is no public key: {exc}") from exc
    return text


def _url(text: str) -> str:
    from event_store.outgoing_http import parse_target  # noqa: PLC0415 - only when it is given

    try:
        parse_target(text, "it")
    except ConfigurationError as exc:
        raise ValueError(str(exc)) from exc
    return text


def _witness(text: str) -> str:
    vkey, _, url = text.partition(" ")
    try:
        _vkey(vkey)
        _url(url.strip())
    except ValueError as exc:
        raise ValueError(f"{exc}; each entry is a vkey, a space, and a URL") from exc
    return text


def _secret_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        _url(value.get_secret_value())
    return value


def _role(text: str) -> str:
    from domain.access.principal import Role  # noqa: PLC0415 - only when it is given

    name, _, role = text.rpartition("=")
    if not name or role not in set(Role):
        raise ValueError(f"{text!r} is not ISSUERS-NAME=ROLE, with a role of {', '.join(sorted(Role))}")
    return text


_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454, section 6.2)."""
    if not _ORIGIN.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no origin: write https://host or https://host:port, in small letters and without a path"
        )
    return text


def topic_name(text: str) -> str:
    """A name that Kafka accepts."""
    if not _TOPIC.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            f"{text[:80]!r} is no name of a topic: letters, digits, dot, dash and underscore, at most 249"
        )
    return text


def _topic_or_none(text: str) -> str:
    return topic_name(text) if text else text


def _readable_policy(path: Path | None) -> Path | None:
    """Raise `ConfigurationError` when there is no policy in the file."""
    if path is not None:
        from audit_trail.policy_file import read_policy  # noqa: PLC0415 - only when it is given

        read_policy(path)
    return path


List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Comma-separated in a variable, a list in the file."""
Networks = Annotated[List, _each(_network)]
Servers = Annotated[List, _each(_server)]
VerifierKeys = Annotated[List, _each(_vkey)]
Witnesses = Annotated[List, _each(_witness)]
RoleMap = Annotated[List, _each(_role)]
Origins = Annotated[List, _each(_origin)]
Topics = Annotated[List, _each(topic_name)]
PolicyFile = Annotated[Path | None, AfterValidator(_readable_policy)]
OptionalTopic = Annotated[str, AfterValidator(_topic_or_none)]
SecretUrl = Annotated[SecretStr | None, AfterValidator(_secret_url)]


def explained(error: Any) -> str:
    """What is wrong with a value, and what to write: the text for one of pydantic's errors. It quotes no value."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if text := _TEXTS.get(error["type"]):
        return text.format(**context)
    return f"it is not valid ({error['type']})"


_TEXTS = {
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "finite_number": "give a finite number",
    "bool_parsing": "give true or false",
    "bool_type": "give true or false",
    "greater_than": "give a number greater than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than_equal": "give {le} or less",
    "literal_error": "give {expected}",
    "string_type": "give a text",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
    "string_pattern_mismatch": "give a text that matches {pattern}",
    "too_short": "give at least {min_length} characters",
    "path_type": "give a path",
    "tuple_type": "give a list",
}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that ends a message about an unknown name; empty when no known name is similar."""
    found = difflib.get_close_matches(name, list(known), 1, 0.75)
    return f"; did you mean {found[0]}?" if found else ""
