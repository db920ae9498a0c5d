"""Generates the pages of `docs/reference` from the code: ``python -m audit_trail.docs.reference``.

A test compares the pages with the code, so that none is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from typer.main import get_command

from audit_trail.cli import app
from audit_trail.docs import context_tables, forwarding_tables, rule_tables
from audit_trail.docs.access_tables import access_page
from audit_trail.docs.asyncapi import asyncapi_document
from audit_trail.docs.event_schema import event_schema
from audit_trail.docs.publisher_page import publisher_page
from audit_trail.docs.tables import table
from audit_trail.environment import FILE_VARIABLE, PREFIX
from audit_trail.exit_codes import SIGNALLED, SIGNALLED_MEANING, ExitCode
from audit_trail.secret_files import file_variable
from audit_trail.settings import Settings, secret_settings
from domain.catalogue import CATALOGUE, DCM, INTERACTION, LIFECYCLE, LOCAL, REST, Category
from queries.filters.attributes import AttributeIndex
from queries.filters.conditions import CONDITIONS, Condition, Operator, ValueKind

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

_SYSTEMS = {DCM: "DCM", REST: "REST", INTERACTION: "interaction", LIFECYCLE: "lifecycle", LOCAL: "local"}


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    return {
        "settings.md": settings_page(),
        "catalogue.md": catalogue_page(),
        "audit-event.schema.json": event_schema(),
        "asyncapi.json": asyncapi_document(),
        "cli.md": command_page(),
        "access.md": access_page(),
        "filters.md": filters_page(),
        "context.md": context_page(),
        "forwarding.md": forwarding_page(),
        "publisher.md": publisher_page(),
        "rules.md": rules_page(),
    }


def settings_page() -> str:
    """Every setting with its type, default and help."""
    head = (
        "# Settings\n\n"
        "Every setting is an environment variable. It can also stand in a TOML file that"
        f" `{FILE_VARIABLE}` names, without the prefix and in lower case:"
        ' `database_url = "postgresql://..."`.\n'
        "A variable goes before the file, the file before the default. A variable that begins with"
        f" `{PREFIX}` and is no setting is an error.\n\n"
        "Lists are comma-separated in a variable, and lists in the file."
        " Passwords and database URLs never appear in a log.\n\n"
        "A secret can also be in a file, without a line break at its end or with one: "
        + ", ".join(f"`{file_variable(name)}`" for name in secret_settings())
        + " name such files. It is an error to set both variables of a secret. Links are followed only when root, the"
        " user of the process or the owner of their folder created them, as container platforms do.\n"
    )
    rows = [
        (f"`{PREFIX}{name.upper()}`", _type_of(name), _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return head + "\n" + table(("Variable", "Values", "Default", "What it does"), rows)


def catalogue_page() -> str:
    """Every event type with its category, action, required fields and codes."""
    head = (
        "# Catalogue of event types\n\n"
        "`type` of an event is one of these names. The action is what the trail assumes when the event gives"
        " none. The required fields come on top of `event_id`, `type`, `occurred_at`, `source` and `actor`, which"
        " every event has.\n\n"
        "Codes are those of FHIR AuditEvent `type` and `subtype` (R5 `category` and `code`). Systems: "
        + ", ".join(f"{short} is `{system}`" for system, short in _SYSTEMS.items())
        + ". The local codes are ours, where DICOM and FHIR have none.\n"
    )
    return head + "".join(_category(category) for category in Category)


def _category(category: Category) -> str:
    rows = [
        (
            f"`{entry.name}`",
            entry.description,
            entry.action.value,
            ", ".join(f"`{path}`" for path in entry.required),
            _code(entry.type_code),
            _code(entry.subtype_code),
        )
        for entry in CATALOGUE.values()
        if entry.category is category
    ]
    return f"\n## {category.value.capitalize()}\n\n" + table(
        ("Type", "Meaning", "Action", "Required", "Code", "Subtype"), rows
    )


def filters_page() -> str:
    """Every filter condition with its names and its index."""
    head = (
        "# Filter conditions\n\n"
        "All given conditions must hold; of a list, or of a repeated parameter, one value must match."
        " [How to query](../how-to/query.md#filters) explains nested filters.\n\n"
        "`audit-trail export` and `audit-trail evidence` have an option for each name in REST, with hyphens:"
        " `--correlation-id`. `evidence` also calls `--occurred-from` `--from` and `--occurred-until` `--to`.\n\n"
        "GraphQL writes values in capitals and actions in full: `MINOR_FAILURE`, `READ`. Times need an offset.\n\n"
        "A page by an indexed condition takes the same time at any size of the trail. Its index also holds hash codes"
        " of the attributes in the last column, and skips events that differ in them:"
        " [which filters are fast](../how-to/query.md#which-filters-are-fast).\n"
    )
    rows = [
        (
            ", ".join(f"`{_camel(field)}`" for field in condition.fields),
            f"`{condition.name}`" + (", repeated" if condition.many else ""),
            f"`not_{condition.name}`" if condition.negatable else "",
            condition.help + (f"; needs `{condition.needs}`" if condition.needs else "") + _words(condition),
            *_index(condition),
        )
        for condition in CONDITIONS
    ]
    groups = [
        ("`and`", "", "", "Every one of these filters must match", "if one of them is", ""),
        ("`or`", "", "", "One of these filters must match", "if all of them are", ""),
        ("`not`", "", "", "This filter must not match", "no", ""),
    ]
    columns = ("GraphQL", "REST", "REST, excluding", "Meaning", "Indexed", "Index also compares")
    return f"{head}\n{table(columns, rows + groups)}"


def forwarding_page() -> str:
    """Every field of the file of followers."""
    return forwarding_tables.HEAD + "".join(
        f"\n## {heading}\n\n{sentence}\n\n{table(forwarding_tables.COLUMNS, rows)}"
        for heading, sentence, rows in forwarding_tables.sections()
    )


def context_page() -> str:
    """The tables of context and their columns."""
    return context_tables.HEAD + "".join(context_tables.sections())


def rules_page() -> str:
    """Every shipped rule."""
    return rule_tables.HEAD + "".join(rule_tables.sections())


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _words(condition: Condition) -> str:
    return f": {', '.join(f'`{word}`' for word in condition.words)}" if condition.enum is not None else ""


_CODES = {
    "actor_mark": "actor",
    "type_mark": "type",
    "source_mark": "service",
    "outcome": "outcome",
    "resource_mark": "resource type",
}


def _index(condition: Condition) -> tuple[str, str]:
    index: AttributeIndex | None = condition.attribute.index
    if condition.kind in {ValueKind.TIME, ValueKind.POSITION}:
        return "bounds the scan", ""
    if condition.operator is not Operator.EQUAL or index is None:
        return "no", ""
    return f"yes, {index.only}" if index.only else "yes", ", ".join(_CODES[code] for code in index.holds)


def command_page() -> str:
    """Every command with its arguments and options, and the exit codes."""
    root = get_command(app)
    codes = [
        *((str(int(code)), _sentence(code.meaning), _errors(code)) for code in ExitCode),
        (f"{SIGNALLED} + n", _sentence(SIGNALLED_MEANING), ""),
    ]
    head = (
        f"# Command line\n\n{root.help}\n\n"
        "Settings come from [variables or a file](settings.md), not from options.\n"
    )
    return (
        head
        + "".join(_commands("audit-trail", root))
        + "\n## Exit codes\n\n"
        + table(("Code", "Meaning", "Errors"), codes)
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _errors(code: ExitCode) -> str:
    return " ".join(f"`{kind.__name__}`: {(kind.__doc__ or '').splitlines()[0]}" for kind in code.errors)


def _commands(path: str, command: Any) -> Iterator[str]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands(f"{path} {name}", inner)
            continue
        yield f"\n## {path} {name}\n\n{' '.join(inner.help.split())}\n"
        rows = [
            (f"`{_spelling(parameter)}`", _parameter_default(parameter), parameter.help or "")
            for parameter in inner.params
            if parameter.name != "help"
        ]
        if rows:
            yield "\n" + table(("Argument or option", "Default", "What it does"), rows)


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    if parameter.is_flag:
        return ", ".join([*parameter.opts, *parameter.secondary_opts])
    return ", ".join(parameter.opts) + " " + _value_of(parameter.type_descriptor.annotation)


def _value_of(annotation: Any) -> str:
    """What stands for an option's value: the words that it may be, or its type."""
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Literal:
        return "|".join(inner)
    return _value_of(inner[0]) if inner else str(annotation.__name__).upper()


def _parameter_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    return "" if parameter.default in (None, False, "") else f"`{parameter.default}`"


def _type_of(name: str) -> str:
    field = Settings.model_fields[name]
    annotation = str(field.annotation)
    if "Literal" in annotation:
        return ", ".join(f"`{value}`" for value in field.annotation.__args__)  # type: ignore[union-attr]
    words = {
        "bool": "true or false",
        "int": "whole number",
        "float": "number",
        "tuple": "list",
        "Path": "file",
        "Secret": "secret",
    }
    kind = next((text for key, text in words.items() if key in annotation), "text")
    return " ".join([kind, *filter(None, map(_bound, field.metadata))])


def _bound(mark: object) -> str:
    if isinstance(mark, Ge):
        return f"from {mark.ge}"
    if isinstance(mark, Gt):
        return f"over {mark.gt}"
    return f"to {mark.le}" if isinstance(mark, Le) else ""


def _default(value: object) -> str:
    if value in (None, ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _code(code: tuple[str, str] | None) -> str:
    return f"{_SYSTEMS[code[0]]} `{code[1]}`" if code else ""


def main() -> None:
    """Write the pages and say which changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote docs/reference/{name}\n")


if __name__ == "__main__":
    main()
