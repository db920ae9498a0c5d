"""The file of targets (YAML): its fields, and what each may hold."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from domain.errors import ConfigurationError
from event_store.files.file_nodes import Node
from event_store.files.folders import read_file
from event_store.outgoing_http import Target as Address
from event_store.outgoing_http import parse_target
from watcher.checks.json_pointer import is_pointer
from watcher.secret_values import SecretValue
from watcher.targets import (
    KINDS,
    MAX_WINDOW,
    BodyContains,
    BodyEquals,
    Check,
    DownRule,
    HttpCheck,
    KafkaCheck,
    PostgresCheck,
    Restart,
    TargetFile,
    TcpCheck,
    TlsCheck,
    WatchedTarget,
)

MAX_TARGETS = 500
_MAX_BYTES = 512 << 10
_LEAST_GAP = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@-]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,200}")
_HOST = re.compile(r"[A-Za-z0-9_:-]{1,63}(?:\.[A-Za-z0-9_:-]{1,63})*\.?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_TIMING = ("interval", "timeout", "down_after", "up_after")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class _Timing(NamedTuple):
    interval: float = 30.0
    timeout: float = 5.0
    down: DownRule = DownRule(3, 3)
    up_after: int = 2


def read_targets(file: Path) -> TargetFile:
    """The targets of a file. Raises `ConfigurationError`, which says what to write where."""
    try:
        text = read_file(file, _MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no file {file}") from exc
    except OSError as exc:
        raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file} is not UTF-8") from exc
    return parse_targets(text, str(file))


def parse_targets(text: str, file: str) -> TargetFile:
    """The same for the text of a file, whose name is for messages."""
    top = Node.read(text, file, "list what to watch under `targets:`")
    fields = top.fields(("defaults", "gap_after", "targets"), ("targets",))
    defaults = _Timing()
    if "defaults" in fields:
        defaults = _timing(fields["defaults"], fields["defaults"].fields(_TIMING), defaults)
    contexts = _Contexts()
    targets: list[WatchedTarget] = []
    for node in fields["targets"].items(MAX_TARGETS):
        target = _target(node, defaults, contexts)
        if target.name in {each.name for each in targets}:
            node.fail(f"the name {target.name} is taken by a target above: give each its own")
        targets.append(target)
    if not targets:
        fields["targets"].fail("name one target at least")
    quick = min(each.interval for each in targets)
    gap = fields["gap_after"].seconds(1, 86_400) if "gap_after" in fields else max(2 * quick, _LEAST_GAP)
    return TargetFile(targets=tuple(targets), gap_after=gap)


def _target(node: Node, defaults: _Timing, contexts: _Contexts) -> WatchedTarget:
    fields = node.fields(("name", "service", "owner", *_TIMING, *KINDS.values()), ("name",))
    name = fields["name"].text(200)
    if not _NAME.fullmatch(name):
        fields["name"].fail("write letters, digits, spaces and . _ : / @ - only")
    kinds = [kind for kind in KINDS.values() if kind in fields]
    if len(kinds) != 1:
        node.fail(f"write one of {', '.join(KINDS.values())}: what to check")
    timing = _timing(node, fields, defaults)
    return WatchedTarget(
        name=name,
        service=fields["service"].text(256) if "service" in fields else name,
        owner=fields["owner"].text(1000) if "owner" in fields else "",
        check=_CHECKS[kinds[0]](fields[kinds[0]], contexts),
        interval=timing.interval,
        timeout=timing.timeout,
        down=timing.down,
        up_after=timing.up_after,
    )


def _timing(node: Node, fields: Mapping[str, Node], defaults: _Timing) -> _Timing:
    interval = fields["interval"].seconds(0.5, 86_400) if "interval" in fields else defaults.interval
    timeout = fields["timeout"].seconds(0.1, 60) if "timeout" in fields else min(defaults.timeout, interval)
    if timeout > interval:
        (fields.get("timeout") or node).fail("write a time that is not longer than `interval`")
    return _Timing(
        interval,
        timeout,
        _down_rule(fields["down_after"]) if "down_after" in fields else defaults.down,
        fields["up_after"].whole(1, MAX_WINDOW) if "up_after" in fields else defaults.up_after,
    )


def _down_rule(node: Node) -> DownRule:
    """``3`` is three in a row; ``{failures: 5, of: 10}`` is five of the newest ten."""
    if not node.is_mapping:
        count = node.whole(1, MAX_WINDOW)
        return DownRule(count, count)
    fields = node.fields(("failures", "of"), ("failures", "of"))
    of = fields["of"].whole(1, MAX_WINDOW)
    return DownRule(fields["failures"].whole(1, of), of)


class _Contexts:
    """The TLS of clients, one for each file of authorities: to load the system's takes 10 ms or more."""

    def __init__(self) -> None:
        self._made: dict[str, ssl.SSLContext] = {}

    def trusting(self, ca_file: Node | None) -> ssl.SSLContext:
        """Trusts the authorities in the file, else those of the system."""
        name = "" if ca_file is None else ca_file.text(4096)
        if name not in self._made:
            try:
                self._made[name] = ssl.create_default_context(cafile=name or None)
            except (OSError, ssl.SSLError):
                assert ca_file is not None
                ca_file.fail("this file can't be read, or holds no certificate (PEM)")
        return self._made[name]


def _blind() -> ssl.SSLContext:
    """The TLS of a client that looks at any certificate, and sends nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _http(node: Node, contexts: _Contexts) -> Check:
    known = ("url", "status", "body", "headers", "token", "ca_file", "restart")
    fields = node.fields(known, ("url",))
    address = _address(fields["url"])
    if "ca_file" in fields and address.scheme != "https":
        fields["ca_file"].fail("this is for https: the url begins with http")
    headers: dict[str, str | SecretValue] = {}
    for name, value in (fields["headers"].pairs() if "headers" in fields else {}).items():
        if not _HEADER.fullmatch(name):
            value.fail("this is no name of a header")
        headers[name] = _secret(value) if value.is_mapping else _header_value(value)
    if "token" in fields:
        headers["Authorization"] = _secret(fields["token"], "Bearer ")
    restart = _restart(fields["restart"]) if "restart" in fields else None
    secure = "https" in {address.scheme, restart.address.scheme if restart and restart.address else ""}
    return HttpCheck(
        address=address,
        statuses=_statuses(fields["status"]) if "status" in fields else frozenset({200}),
        body=_body(fields["body"]) if "body" in fields else None,
        headers=headers,
        context=contexts.trusting(fields.get("ca_file")) if secure else None,
        restart=restart,
    )


def _address(node: Node) -> Address:
    url = node.text(4096)
    return node.checked(lambda: parse_target(url, "this"))


def _header_value(node: Node) -> str:
    value = node.text(4096)
    if not value.isascii():
        node.fail("write a header in ASCII")
    return value


def _statuses(node: Node) -> frozenset[int]:
    """``200``, ``2xx``, or a list of these."""
    found: set[int] = set()
    for each in node.items(20) if node.is_list else [node]:
        text = each.text(3)
        if re.fullmatch(r"[1-5]xx", text):
            found |= set(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        elif re.fullmatch(r"[1-5][0-9][0-9]", text):
            found.add(int(text))
        else:
            each.fail("write a status such as 200, or a class such as 2xx")
    return frozenset(found)


def _body(node: Node) -> BodyContains | BodyEquals:
    fields = node.fields(("contains", "pointer", "equals"))
    if fields.keys() == {"contains"}:
        return BodyContains(fields["contains"].text(1000))
    if fields.keys() != {"pointer", "equals"}:
        node.fail("write either `contains`, or both `pointer` and `equals`")
    return BodyEquals(_pointer(fields["pointer"]), fields["equals"].json_value())


def _pointer(node: Node) -> str:
    text = node.text(1000, least=0)
    if not is_pointer(text):
        node.fail("write a JSON Pointer (RFC 6901) such as /status")
    return text


def _restart(node: Node) -> Restart:
    fields = node.fields(("pointer", "header", "metric", "url"))
    if len(fields.keys() - {"url"}) != 1:
        node.fail("write one of pointer, header, metric: where the target tells its start time or boot id")
    for name, form, what in (
        ("header", _HEADER, "the name of a header"),
        ("metric", _METRIC, "the name of a metric without labels"),
    ):
        if name in fields and not form.fullmatch(fields[name].text(300)):
            fields[name].fail(f"write {what}")
    return Restart(
        pointer=_pointer(fields["pointer"]) if "pointer" in fields else None,
        header=fields["header"].text(300) if "header" in fields else None,
        metric=fields["metric"].text(300) if "metric" in fields else None,
        address=_address(fields["url"]) if "url" in fields else None,
    )


def _secret(node: Node, prefix: str = "") -> SecretValue:
    """``{file: PATH}`` or ``{env: NAME}``, which must be there now."""
    if not node.is_mapping:
        node.fail("a secret does not stand in this file: write {file: PATH} or {env: NAME}")
    fields = node.fields(("file", "env"))
    if len(fields) != 1:
        node.fail("write either {file: PATH} or {env: NAME}")
    kind = "file" if "file" in fields else "env"
    secret = SecretValue("file" if kind == "file" else "env", fields[kind].text(4096), prefix)
    node.checked(secret.read)
    return secret


def _tcp(node: Node, contexts: _Contexts) -> Check:
    del contexts
    fields = node.fields(("host", "port"), ("host", "port"))
    return TcpCheck(host=_host(fields["host"]), port=fields["port"].whole(1, 65535))


def _host(node: Node) -> str:
    text = node.text(253)
    if not _HOST.fullmatch(text):
        node.fail("write a host name or an address, without a port")
    return text


def _tls(node: Node, contexts: _Contexts) -> Check:
    fields = node.fields(("host", "port", "server_name", "days", "verify", "ca_file"), ("host",))
    verify = fields["verify"].flag() if "verify" in fields else True
    if not verify and "ca_file" in fields:
        fields["ca_file"].fail("`verify` is false: remove one of the two")
    host = _host(fields["host"])
    return TlsCheck(
        host=host,
        port=fields["port"].whole(1, 65535) if "port" in fields else 443,
        server_name=_host(fields["server_name"]) if "server_name" in fields else host,
        days=fields["days"].number(0, 3650) if "days" in fields else 14.0,
        verify=verify,
        context=contexts.trusting(fields.get("ca_file")) if verify else _blind(),
    )


def _kafka(node: Node, contexts: _Contexts) -> Check:
    del contexts
    known = ("servers", "topics", "security_protocol", "sasl_mechanism", "username", "password", "ca_file")
    fields = node.fields(known)
    foreign = fields.keys() - {"topics"}
    if foreign and "servers" not in fields:
        fields[min(foreign)].fail("this is for brokers of others: name them in `servers`")
    topics = tuple(each.text(249) for each in fields["topics"].items(100)) if "topics" in fields else ()
    if not all(map(_TOPIC.fullmatch, topics)):
        fields["topics"].fail("write names of topics")
    options: dict[str, str] = {}
    if "security_protocol" in fields:
        options["security_protocol"] = fields["security_protocol"].word(_PROTOCOLS)
    if "sasl_mechanism" in fields:
        options["sasl_mechanism"] = fields["sasl_mechanism"].word(_MECHANISMS)
    if "username" in fields:
        options["sasl_plain_username"] = fields["username"].text(256)
    if "ca_file" in fields:
        options["ssl_cafile"] = fields["ca_file"].text(4096)
    return KafkaCheck(
        servers=_servers(fields["servers"]) if "servers" in fields else (),
        topics=topics,
        options=options,
        password=_secret(fields["password"]) if "password" in fields else None,
    )


def _servers(node: Node) -> tuple[str, ...]:
    found = []
    for each in node.items(20):
        text = each.text(300)
        if not re.fullmatch(r"[^\s]+:[0-9]{1,5}", text):
            each.fail("write host:port")
        found.append(text)
    if not found:
        node.fail("name one server at least, as host:port")
    return tuple(found)


def _postgresql(node: Node, contexts: _Contexts) -> Check:
    del contexts
    fields = node.fields(("url",))
    if "url" not in fields:
        return PostgresCheck()
    url = fields["url"]
    if url.is_mapping:
        return PostgresCheck(url=_secret(url))
    text = url.text(4096)
    if re.search(r"://[^/@]*:[^/@]*@|password", text):
        url.fail(
            "a password does not stand in this file: write {file: PATH} or {env: NAME} with the whole URL"
        )
    return PostgresCheck(url=text)


_CHECKS: Mapping[str, Callable[[Node, _Contexts], Check]] = {
    "http": _http,
    "tcp": _tcp,
    "tls": _tls,
    "kafka": _kafka,
    "postgresql": _postgresql,
}
