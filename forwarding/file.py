"""The file of followers: TOML, one table for each follower. Every fault names the field and what to write."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from domain.errors import ConfigurationError
from event_store.outgoing_http import parse_target
from forwarding.receivers.alertmanager import AlertmanagerServer
from forwarding.receivers.http import origin_of, read_url, url_digest
from forwarding.receivers.kafka import KafkaTopic, Publish
from forwarding.receivers.otlp import OtlpLogs
from forwarding.receivers.receiver import Receiver
from forwarding.receivers.smtp import AddressOf, MailServer
from forwarding.receivers.splunk import HttpEventCollector
from forwarding.receivers.syslog import SyslogServer
from forwarding.receivers.webhook import SignedWebhook
from forwarding.registry import DESTINATION, Configured
from forwarding.settings import (
    RECEIVERS,
    Alertmanager,
    FollowerSettings,
    HttpSettings,
    Kafka,
    Otlp,
    ReceiverSettings,
    Smtp,
    Splunk,
    Syslog,
    Webhook,
)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_KNOWN: dict[str, tuple[str, ...]] = {
    "": FollowerSettings.__struct_fields__,
    **{kind: each.__struct_fields__ for kind, each in RECEIVERS.items()},
}
_ABOUT_DECISION = ("decided_by", "reason", "start")
"""The fields that are no part of how the follower works."""
_PLACE = ("host", "port", "url", "url_file", "topic", "index", "recipients", "to_employee")
"""The fields of a receiver that say where records go."""
_DEFAULTS: Mapping[str, Any] = {"on_refusal": "stop"}
"""Younger fields: a follower without them has the configuration that it had before they existed."""


class Follower(NamedTuple):
    """A follower of the file; `receiver` is its one receiver, of `kind`."""

    name: str
    settings: FollowerSettings
    kind: str
    receiver: ReceiverSettings

    @property
    def field(self) -> str:
        """The place of the receiver's settings in the file."""
        return f"followers.{self.name}.{self.kind}"


def read_followers(text: bytes) -> list[Follower]:
    """The followers of a file, by name. Raises `ConfigurationError`, which quotes no value."""
    try:
        content = tomllib.loads(text.decode())
    except UnicodeDecodeError as exc:
        raise ConfigurationError("it is not UTF-8") from exc
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"it is not TOML: {exc}") from exc
    tables = content.pop("followers", {})
    if content:
        raise ConfigurationError(f"{_quoted(next(iter(content)))}: begin a table with [followers.NAME]")
    if not isinstance(tables, dict):
        raise ConfigurationError("followers: write one table [followers.NAME] for each follower")
    return [_follower(name, table) for name, table in sorted(tables.items())]


def _follower(name: str, table: Any) -> Follower:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"followers.{_quoted(name)}: a name has small letters, digits, - and _, begins with a letter, and has at"
            " most 63 characters"
        )
    place = f"followers.{name}"
    try:
        settings = msgspec.convert(table, FollowerSettings)
    except msgspec.ValidationError as exc:
        raise _fault(place, str(exc)) from exc
    receivers = settings.receivers
    if len(receivers) != 1:
        wanted = ", ".join(f"[{place}.{kind}]" for kind in RECEIVERS)
        raise ConfigurationError(f"{place}: give exactly one receiver: {wanted}")
    return Follower(name, settings, *receivers[0])


def _fault(place: str, message: str) -> ConfigurationError:
    at = _AT.search(message)
    path = at["path"] if at else ""
    text = message[: at.start()] if at else message
    if found := _UNKNOWN.match(text):
        name = found["name"]
        return ConfigurationError(
            f"{_joined(place, path, _quoted(name))}: there is no such field{_similar(name, _KNOWN.get(path, ()))}"
        )
    if found := _MISSING.match(text):
        return ConfigurationError(f"{_joined(place, path, found['name'])}: this field is required")
    text = re.sub(r"Invalid enum value .*", "not one of the known values", text)
    return ConfigurationError(f"{_joined(place, path)}: {text[:1].lower()}{text[1:]}")


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _quoted(name: str) -> str:
    return name if _NAME.fullmatch(name) else repr(name[:64])


def _similar(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:64], list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


_MADE: Mapping[type[ReceiverSettings], Callable[[Any, str], Receiver]] = {
    Syslog: SyslogServer,
    Webhook: SignedWebhook,
    Splunk: HttpEventCollector,
    Otlp: OtlpLogs,
    Alertmanager: AlertmanagerServer,
}


def make_receiver(follower: Follower, publish: Publish, address_of: AddressOf | None = None) -> Receiver:
    """The receiver of a follower, not connected. Raises `ConfigurationError` that names the field."""
    if isinstance(follower.receiver, Kafka):
        return KafkaTopic(follower.receiver, follower.name, publish)
    if isinstance(follower.receiver, Smtp):
        return MailServer(follower.receiver, follower.field, address_of)
    return _MADE[type(follower.receiver)](follower.receiver, follower.field)


def configured(follower: Follower, where: str) -> Configured:
    """What is stored of a follower: everything but secrets. `where` describes the receiver."""
    settings = msgspec.json.decode(msgspec.json.encode(follower.settings))  # as it is stored
    receiver = settings.pop(follower.kind)
    kept = {
        name: value
        for name, value in settings.items()
        if name not in _ABOUT_DECISION
        and name not in RECEIVERS
        and value not in ([], {}, None, _DEFAULTS.get(name))
    }
    places = {name: receiver.pop(name, None) for name in _PLACE}
    place = {name: value for name, value in places.items() if value not in (None, False, [])}
    if isinstance(follower.receiver, HttpSettings):
        url = read_url(follower.receiver, follower.field)
        place |= {"url": origin_of(parse_target(url, f"{follower.field}.url")), "url_sha256": url_digest(url)}
    kept[DESTINATION] = {"kind": follower.kind, **place}
    kept["receiver"] = {name: value for name, value in receiver.items() if value is not None}
    decided = follower.settings
    return Configured(follower.name, kept, where, decided.start, decided.decided_by, decided.reason)
