"""Reads an analyst's SELECT word by word, for early and clear error messages.

The database's safety does not depend on it: the function that runs the statement (migration 0004) has a role without
rights. It keeps projections pure: rows that depend on the clock or on chance can't be rebuilt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<unicode>[Uu]&["'])
    |(?P<escape>[Ee]'(?:[^'\\]|''|\\.)*')
    |(?P<string>[BbNnXx]?'(?:[^']|'')*')
    |(?P<dollar>\$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$)
    |(?P<undollar>\$(?:[A-Za-z_]\w*)?\$)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<word>[^\W\d][\w$]*)
    |(?P<number>\d[\w.]*)
    |(?P<parameter>\$\d+)
    |(?P<open>['"])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_MOST_COMPLAINTS = 20
"""Finding the line of each one takes time."""
_BEGINS = frozenset({"select", "with", "values"})
_CATALOGUES = frozenset({"pg_catalog", "information_schema", "pg_toast"})
_CLOCK = frozenset(
    {
        "now",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "current_user",
        "session_user",
        "current_role",
        "user",
        "system_user",
        "current_setting",
    }
)


class Complaint(Struct, frozen=True):
    """`at` is an index into the text."""

    at: int
    message: str


class Words(Struct, frozen=True):
    """The statement without its last semicolon, its function calls with their places, and the complaints."""

    text: str
    calls: tuple[tuple[int, str], ...]
    complaints: tuple[Complaint, ...]


def read_words(text: str) -> Words:
    """Read one statement."""
    tokens = list(_tokens(text))
    complaints: list[Complaint] = []
    calls: list[tuple[int, str]] = []
    depth = 0
    end = len(text)
    for index, (at, kind, word) in enumerate(tokens):
        after = tokens[index + 1] if index + 1 < len(tokens) else (end, "end", "")
        if kind == "broken":
            complaints.append(Complaint(at, word))
        elif kind == "parameter":
            complaints.append(Complaint(at, "a SELECT takes no parameters: it reads the relation batch"))
        elif word == ";":
            if index + 1 < len(tokens):
                complaints.append(Complaint(at, "one SELECT per table, and nothing after its semicolon"))
                break
            end = at
        elif kind == "name" and _is_catalogue(tokens, index):
            complaints.append(
                Complaint(
                    at, f"{word} is not allowed: it is the server's, and a SELECT reads the relation batch"
                )
            )
        elif kind == "name" and (after[2] == "(" or (word in _CLOCK and not _is_qualified(tokens, index))):
            calls.append((at, word))
        depth += (word == "(") - (word == ")") if kind == "other" else 0
        if depth < 0:
            complaints.append(Complaint(at, "this parenthesis closes nothing"))
            break
        if len(complaints) >= _MOST_COMPLAINTS:
            break
    if depth > 0:
        complaints.append(Complaint(max(0, end - 1), "a parenthesis is not closed"))
    first = next((word for _, kind, word in tokens if word != "("), "")
    if first not in _BEGINS:
        complaints.insert(0, Complaint(tokens[0][0] if tokens else 0, "this is no SELECT"))
    return Words(text[:end], tuple(calls), tuple(complaints))


def clock(name: str) -> bool:
    """Whether its value depends on the time or on the user of the run."""
    return name in _CLOCK


def _is_catalogue(tokens: list[tuple[int, str, str]], index: int) -> bool:
    """Whether a name can only be a system catalogue, a view or function of the server's state, or their schema."""
    word = tokens[index][2]
    after = tokens[index + 1][2] if index + 1 < len(tokens) else ""
    if word in _CATALOGUES:
        # A function that is named in full, as in pg_catalog.upper(x), is no table.
        return not (after == "." and _is_call(tokens, index + 2))
    return word.startswith("pg_") and word != "pg_typeof"


def _is_call(tokens: list[tuple[int, str, str]], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1][2] == "("


def _is_qualified(tokens: list[tuple[int, str, str]], index: int) -> bool:
    """Whether a name is a column of something, or an alias, and so not the keyword."""
    before = tokens[index - 1][2] if index else ""
    return before in {".", "as"}


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None, "the last alternative matches everything"
        kind, start, at = found.lastgroup or "", at, found.end()
        if found["comment"]:
            at = _after_comment(text, at)
            if at < 0:
                yield start, "broken", "this comment is not closed"
                return
        elif found["unicode"]:
            yield (
                start,
                "broken",
                "strings and names with Unicode escapes are not taken; write the characters",
            )
            return
        elif found["undollar"]:  # scanning for each further one would reach the end again
            yield start, "broken", "this $-quoted string is not closed"
            return
        elif found["open"]:
            yield start, "broken", "this quote is not closed"
            return
        elif found["word"]:
            yield start, "name", found["word"].lower()
        elif found["quoted"]:
            yield start, "name", found["quoted"][1:-1].replace('""', '"')
        elif not found["space"]:
            yield (
                start,
                "parameter" if kind == "parameter" else "other" if kind == "other" else "value",
                found[0],
            )


def _after_comment(text: str, at: int) -> int:
    """Comments nest."""
    depth = 1
    for found in _COMMENT.finditer(text, at):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return -1
