"""The reference of the publishing client, generated from its source: the server imports nothing of the client."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Any

from audit_trail.docs.publisher_source import FOLDER
from audit_trail.docs.source_reading import (
    Rows,
    assigned,
    call,
    fields,
    line,
    methods,
    named,
    parameters,
    prose,
)
from audit_trail.docs.tables import table

_PACKAGE = "audit_trail_publisher"
_SECTIONS: dict[str, dict[str, str]] = {
    "Publisher": {"publisher": "Publisher"},
    "Promises": {"promises": "Promise Receipt Confirmation"},
    "Trail": {"trail": "Trail Channel AsyncChannels"},
    "Start and stop": {"sigterm": "exit_on_sigterm", "web.lifespan": "Lifespan"},
    "Event types": {},
    "Values": {"values": "field_changes"},
    "Context": {"context": "Context bound current_context set_context carry dump_context load_context"},
    "Health": {"publisher": "Health", "spool.spool": "RejectedEvent"},
    "Metrics": {},
    "Errors": {},
    "Outbox": {
        "outbox.outbox": "Outbox OutboxStatus postgresql_tables",
        "outbox.rows": "OutboxWriter ConnectionWriter",
        "sqlalchemy.outbox": "SessionOutbox ConnectionOutbox",
        "django.outbox.writer": "DjangoOutbox django_outbox",
    },
    "Transports": {
        "transports.http": "HttpTransport token_from_file",
        "transports.kafka": "KafkaTransport",
        "transports.transport": "Transport Delivery Rejection BatchTooLargeError",
    },
    "Web frameworks": {
        "web.asgi": "AuditMiddleware",
        "web.wsgi": "AuditMiddleware",
        "web.fastapi": "identified trail_as",
        "web.request_record": "identify RequestOptions",
    },
    "Django": {
        "django.middleware": "AuditMiddleware",
        "django.audited_models": "audited_model",
    },
    "SQLAlchemy": {"sqlalchemy.session_audit": "SessionAudit"},
    "Celery": {"celery": "TaskAudit"},
    "Functions": {"audited": "audited Call"},
    "Testing": {"testing": "CapturedTrail captured"},
    "Command line": {},
}
"""Of each section, the names that it describes, by module."""
_NOT_MADE = {"Trail", "Channel", "AsyncChannels"}
"""Classes whose objects a service gets from its `Publisher`."""
_INTERNAL = ("`after_fork", "`finish")
"""The beginnings of methods that no service calls."""
_ALIASES = {"building": "OnMissingActor", "transports.http_connection": "Token Tls"}
_HEAD = (
    "# The publishing client\n\n"
    f"The names of `{_PACKAGE}` with their docstrings. [How to publish from Python](../how-to/publish-from-python.md)"
    " explains how to use them. [How to instrument a service](../how-to/instrument-a-service.md) describes the parts"
    " for FastAPI, Django, Flask, SQLAlchemy and Celery.\n"
)


def publisher_page() -> str:
    """Every parameter, method, field, metric, error and command of the client."""
    own = {
        "Event types": _event_types,
        "Values": _values,
        "Metrics": _metrics,
        "Errors": _errors,
        "Command line": _commands,
    }
    text = _HEAD
    for heading, modules in _SECTIONS.items():
        text += f"\n## {heading}\n"
        text += "".join(own[heading]()) if heading in own else ""
        for module, names in modules.items():
            text += "".join(_described(module, name, heading) for name in names.split())
    return text


@cache
def _module(name: str) -> Any:
    path = FOLDER.joinpath(*name.split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _described(module: str, name: str, heading: str) -> str:
    """A class with its parameters, fields and methods, or a function."""
    node = named(_module(module).body, name)
    imports = [each for each in _module("__init__").body if isinstance(each, ast.ImportFrom)]
    exported = {alias.name for each in imports for alias in each.names}
    text = "" if name == heading else f"\n### {name}\n"
    text += f"\n`from {_PACKAGE}{'' if name in exported else f'.{module}'} import {name}`\n"
    if isinstance(node, ast.FunctionDef):
        return f"{text}\n`{call(node)}`\n\n{prose(node)}\n"
    made = named(node.body, "__init__")
    tables: list[tuple[tuple[str, ...], Rows]] = [
        (("Parameter", "Type", "Default"), parameters(made) if made and name not in _NOT_MADE else []),
        (("Field", "Type", "Meaning"), fields(node.body) + fields(made.body if made else [])),
        (("Method", "What it does"), [row for row in methods(node) if not row[0].startswith(_INTERNAL)]),
    ]
    return f"{text}\n{prose(node)}\n" + "".join(f"\n{table(head, rows)}" for head, rows in tables if rows)


def _event_types() -> Iterator[str]:
    """The methods for event types, which are the same for each channel."""
    yield (
        "\n`trail.record.read(...)` records an event of the type `record.read`, and so does each channel of a trail."
        " All arguments have names. [The catalogue](catalogue.md) has the codes of the types.\n\n"
    )
    builders = _module("builders").body
    rows: Rows = []
    for group in named(builders, "EventBuilders").body[1].body:
        for method in named(builders, group.value.func.id).body[2:]:
            given = parameters(method)[:-1]
            needed = [name for name, _, default in given if default == "required"]
            others = [name for name, _, default in given if default != "required"]
            name = f"`{group.targets[0].attr}.{method.name}`"
            rows.append((name, ", ".join(needed), ", ".join(others), line(method)))
    yield table(("Method", "Needs", "Takes as well", "Records"), rows)
    common = named(_module("fields").body, "EventFields")
    yield f"\n{prose(common)}\n\n" + table(("Field", "Type"), [row[:2] for row in fields(common.body)])


def _values() -> Iterator[str]:
    """What calls accept, and the parts of an event."""
    aliases: Rows = [
        (f"`{name}`", f"`{ast.unparse(assigned(_module(module).body, name))}`", "")
        for module, names in _ALIASES.items()
        for name in names.split()
    ]
    named_values = fields(_module("fields").body) + fields(_module("building").body)
    yield "\n" + table(("Name", "Is", "Meaning"), named_values + aliases)
    yield f"\nThe parts of an event, which `{_PACKAGE}` exports. A star marks a field that is required.\n\n"
    structs = [each for each in _module("generated.event").body if isinstance(each, ast.ClassDef)]
    rows = [
        (f"`{each.name}`", ", ".join(map(_part, each.body[1:])), line(each))
        for each in structs
        if not each.name.startswith("_")
    ]
    yield table(("Name", "Fields or values", "Meaning"), rows)


def _part(field: Any) -> str:
    if isinstance(field, ast.AnnAssign):
        return f"`{ast.unparse(field.target)}`" + ("" if field.value else " *")
    return f"`{ast.unparse(field.targets[0])}`"


def _metrics() -> Iterator[str]:
    """What Prometheus gets."""
    module = _module("prometheus")
    yield f"\n`from {_PACKAGE}.prometheus import PublisherCollector`\n\n{prose(module)}\n\n"
    prefix = ast.literal_eval(assigned(module.body, "PREFIX"))
    metrics = [
        map(ast.literal_eval, each.args) for each in assigned(_module("counters").body, "METRICS").elts
    ]
    rows = [(f"`{prefix}{name}{'_total' * (kind == 'counter')}`", kind, text) for name, kind, text in metrics]
    yield table(("Metric", "Kind", "Meaning"), rows)


def _errors() -> Iterator[str]:
    """Every exception, and what its first word asks for."""
    yield (
        f"\nAll are in `{_PACKAGE}.errors`. *Reject*: correct the event or the call. *Retry*: the cause may pass. If"
        " the event was not kept, call again; if it is durable or stays here, the client itself tries again, and"
        " another call would be another event. *Stop*: correct the program or what it runs in.\n\n"
    )
    errors = (each for each in _module("errors").body if isinstance(each, ast.ClassDef))
    rows = [(f"`{each.name}`", f"`{ast.unparse(each.bases[0])}`", line(each)) for each in errors]
    yield table(("Error", "Is a", "Meaning"), [row for row in rows if "Error" in row[0]])


def _commands() -> Iterator[str]:
    """The commands, as the calls of argparse declare them."""
    body = _module("__main__").body
    yield f"\n`audit-trail-publisher COMMAND`: {line(named(body, 'main'))}\n"
    commands: dict[str, tuple[str, str]] = {}
    arguments: dict[str, Rows] = {}
    for each in named(body, "_parser").body[1:-1]:
        looped = [name.id for name in each.iter.elts] if hasattr(each, "iter") else []
        declared = (each.body[0] if looped else each).value
        given = {word.arg: getattr(word.value, "value", word.value) for word in declared.keywords}
        if declared.func.attr == "add_parser":
            commands[each.targets[0].id] = declared.args[0].value, given["help"]
        elif declared.func.attr == "add_argument":
            for parser in looped or [declared.func.value.id]:
                arguments.setdefault(parser, []).append(_argument(declared.args[0].value, given))
    for parser, (name, said) in commands.items():
        yield f"\n### audit-trail-publisher {name}\n\n{said[0].upper()}{said[1:]}.\n"
        rows = sorted(arguments.get(parser, []), key=lambda row: row[0].startswith("`-"))
        yield "\n" + table(("Argument or option", "Default", "What it does"), rows) if rows else ""


def _argument(name: str, given: dict[str | None, Any]) -> tuple[str, str, str]:
    """An argument or option as argparse shows it."""
    value = given.get("metavar", name.strip("-").replace("-", "_").upper())
    if name.startswith("-"):
        default = "required" if given.get("required") else str(given.get("default", ""))
        return f"`{name}`" if "action" in given else f"`{name} {value}`", default, given["help"]
    repeated = given.get("nargs") == "*"
    return f"`{value}{'...' * repeated}`", "" if repeated else "required", given["help"]
