"""Check options that callers give as words: one that is misspelt must not be taken for another."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, get_args

from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.promises import Promise


def require_choice(option: str, value: str, choices: Any) -> None:
    """Raise `ConfigurationError` unless `value` is one of `choices`, a `Literal`."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ConfigurationError(f"`{option}` is {' or '.join(map(repr, allowed))}, not {value!r}")


def a_promise(value: Promise | str, allowed: Iterable[Promise] = Promise) -> Promise:
    """The promise that a caller means. Raises `ConfigurationError` for one that does not exist, or is not allowed."""
    words = [str(each) for each in allowed]
    if value not in words:
        raise ConfigurationError(f"`promise` is {' or '.join(map(repr, words))}, not {str(value)!r}")
    return Promise(value)


def several(names: Collection[str] | str) -> frozenset[str]:
    """Names, or a single one: a string is itself a collection, of letters."""
    return frozenset([names] if isinstance(names, str) else names)
