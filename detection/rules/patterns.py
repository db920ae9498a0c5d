"""Texts, wildcards and regular expressions of rules, each matched in a time that grows with the text alone.

Wildcards: `*` is any text, `?` one character; a backslash makes the next `*`, `?` or backslash plain, and is itself
plain before anything else (Sigma 2.1, "Escape Character"). Without `cased`, both sides are case-folded (Unicode), in
which a few letters become two: `?` counts these.

Regular expressions are RE2's: no backreferences and no look-around, and so no input on which they are slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import re2

from domain.errors import ConfigurationError

MAX_PATTERN = 1024
"""Characters of a text or pattern."""
_MAX_MEMORY = 4 << 20
"""Bytes that RE2 may use for one pattern; one that needs more is refused."""

TextTest = Callable[[str], bool]


class _Wildcard:
    def __init__(self, expression: str) -> None:
        self.expression = expression


_ANY: Final = _Wildcard("(?s:.*)")
_ONE: Final = _Wildcard("(?s:.)")
Part = str | _Wildcard


def wildcard_test(  # noqa: PLR0911 - one for each shape
    pattern: str, *, before: bool, after: bool, cased: bool
) -> TextTest | str:
    """What decides whether a text matches; a plain text is returned as it is (folded unless `cased`).

    `before` and `after`: any text may stand there, as for `endswith`, `startswith`, and both for `contains`. The text
    that is tested is folded by the caller, unless `cased`.
    """
    parts = list(_parts(pattern if cased else pattern.casefold()))
    if before and parts[:1] != [_ANY]:
        parts.insert(0, _ANY)
    if after and parts[-1:] != [_ANY]:
        parts.append(_ANY)
    match parts:
        case []:
            return ""
        case [str() as whole]:
            return whole
        case [_Wildcard() as only] if only is _ANY:
            return lambda _: True
        case [str() as start, _Wildcard() as last] if last is _ANY:
            return lambda text: text.startswith(start)
        case [_Wildcard() as first, str() as end] if first is _ANY:
            return lambda text: text.endswith(end)
        case [_Wildcard() as first, str() as inner, _Wildcard() as last] if first is _ANY and last is _ANY:
            return lambda text: inner in text
    expression = "".join(re2.escape(each) if isinstance(each, str) else each.expression for each in parts)
    matches = _compiled(f"(?:{expression})", re2.Options()).fullmatch
    return lambda text: matches(text) is not None


def expression_test(pattern: str, flags: str) -> TextTest:
    """Whether the regular expression is found anywhere in a text. `flags`: some of `i`, `m` and `s`."""
    options = re2.Options()
    options.case_sensitive = "i" not in flags
    inner = "".join(flag for flag in "ms" if flag in flags)
    search = _compiled(f"(?{inner}:{pattern})" if inner else pattern, options).search
    return lambda text: search(text) is not None


def _compiled(expression: str, options: re2.Options) -> re2._Regexp:
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(expression, options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else "it is invalid"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ConfigurationError(f"RE2 can't use this pattern: {text}") from exc


def _parts(pattern: str) -> Iterator[Part]:
    plain: list[str] = []
    last: Part | None = None
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\" and at < len(pattern) and pattern[at] in "*?\\":
            plain.append(pattern[at])
            at += 1
        elif char in "*?":
            if plain:
                last = "".join(plain)
                plain.clear()
                yield last
            wildcard = _ANY if char == "*" else _ONE
            if wildcard is _ONE or last is not _ANY:
                yield wildcard
            last = wildcard
        else:
            plain.append(char)
    if plain:
        yield "".join(plain)
