"""The check over HTTP: the status, a condition on the body, and whether the target was restarted."""

from __future__ import annotations

import math
from typing import Any

from domain.errors import ConfigurationError, RejectedError, UnavailableError
from domain.json_parsing import read_json
from event_store.outgoing_http import Answer, Deadline, exchange
from event_store.outgoing_http import Target as Address
from watcher.checks.json_pointer import MISSING, value_at
from watcher.checks.network import network_error
from watcher.observations import CheckError, ErrorClass, Finding
from watcher.secret_values import SecretValue
from watcher.targets import BodyContains, BodyEquals, HttpCheck, Restart

MAX_BODY = 256 << 10
"""Bytes of an answer that are read: a health page is small."""
_MAX_METRICS = 4 << 20
"""The same for a page of metrics."""
_MAX_INCARNATION = 256


def check_http(check: HttpCheck, deadline: Deadline) -> Finding:
    """Ask for the resource, and look at the answer."""
    try:
        headers = {name: _text(value) for name, value in check.headers.items()}
    except ConfigurationError as exc:
        return Finding(error=CheckError.of(ErrorClass.SECRET, str(exc)))
    try:
        answer = _ask(check, check.address, headers, deadline, MAX_BODY)
    except UnavailableError as exc:
        return Finding(error=network_error(exc.__cause__ or exc, deadline))
    error = _error_of(check, answer)
    if error is not None:
        return Finding(error=error)
    return Finding(incarnation=_incarnation(check, answer, headers, deadline))


def _ask(
    check: HttpCheck, address: Address, headers: dict[str, str], deadline: Deadline, most: int
) -> Answer:
    return exchange(address, deadline, what="it", most=most, headers=headers, tls=check.context)


def _text(value: str | SecretValue) -> str:
    if isinstance(value, str):
        return value
    text = value.read()
    if not text.isascii():
        raise ConfigurationError(f"the {value.kind} {value.name} is no text in ASCII, as a header needs")
    return text


def _error_of(check: HttpCheck, answer: Answer) -> CheckError | None:
    if answer.status not in check.statuses:
        wanted = ", ".join(map(str, sorted(check.statuses)[:5]))
        more = ", ..." if len(check.statuses) > 5 else ""
        return CheckError(ErrorClass.STATUS, f"the status is {answer.status}, not {wanted}{more}")
    match check.body:
        case BodyContains(text) if text.encode() not in answer.body:
            where = "" if answer.complete else f" in its first {MAX_BODY} bytes"
            return CheckError.of(ErrorClass.BODY, f"the body does not contain the text{where}")
        case BodyEquals(pointer, value):
            return _unequal(answer, pointer, value)
    return None


def _unequal(answer: Answer, pointer: str, value: object) -> CheckError | None:
    if not answer.complete:
        return CheckError(ErrorClass.BODY, f"the body is cut off or longer than {MAX_BODY} bytes")
    try:
        found = value_at(read_json(answer.body), pointer)
    except RejectedError:
        return CheckError(ErrorClass.BODY, "the body is not JSON")
    if found is MISSING:
        return CheckError.of(ErrorClass.BODY, f"the body has no value at {pointer or 'its top'}")
    if _is_same(found, value):
        return None
    return CheckError.of(ErrorClass.BODY, f"the value at {pointer or 'the top of the body'} is another one")


def _is_same(found: Any, wanted: object) -> bool:
    """Equality of JSON, where 1 is 1.0 and is not true."""
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def _incarnation(check: HttpCheck, answer: Answer, headers: dict[str, str], deadline: Deadline) -> str | None:
    """The start time or boot id; None when the target does not tell it now."""
    restart = check.restart
    if restart is None:
        return None
    if restart.address is not None:
        # Another server gets no header: the file names the secret for the first one.
        if restart.address[:3] != check.address[:3]:
            headers = {}
        try:
            answer = _ask(check, restart.address, headers, deadline, _MAX_METRICS)
        except UnavailableError:
            return None
        if answer.status != 200:
            return None
    found = _told(restart, answer)
    return found if found and len(found) <= _MAX_INCARNATION and found.isprintable() else None


def _told(restart: Restart, answer: Answer) -> str | None:
    if restart.header is not None:
        return answer.headers.get(restart.header)
    if restart.metric is not None:
        return _sample(answer.body, restart.metric)
    try:
        value = value_at(read_json(answer.body), restart.pointer or "")
    except RejectedError:
        return None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _sample(page: bytes, metric: str) -> str | None:
    """The value of a sample without labels, in the text format of Prometheus."""
    # Without a list of all lines: a page of short ones would need a hundred times its size.
    rest = (b"\n" + page).partition(f"\n{metric} ".encode())[2]
    words = rest[:_MAX_INCARNATION].partition(b"\n")[0].split()
    try:
        value = float(words[0]) if words else math.nan
    except ValueError:
        return None
    return repr(value) if math.isfinite(value) else None
