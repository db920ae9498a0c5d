"""The filter conditions as options of a command: one option for each condition of `queries.filters.conditions`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any

import typer

from audit_trail.commands.terminal import moment, wrong
from domain.errors import RejectedError
from queries.filters.conditions import BY_NAME, Condition, ValueKind, name_of
from queries.filters.event_filter import EventFilter

_PANEL = "Which events"


def takes_filter(**spellings: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that takes `filter`, an `EventFilter`: it gets an option for each condition instead.

    `spellings` are other spellings of options, which come first: ``occurred_from="--from"``. A `RejectedError` of the
    command that names a field becomes a `ConfigurationError` that names the option.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[Parameter] = []
        for parameter in signature.parameters.values():
            parameters += _options(spellings) if parameter.name == "filter" else [parameter]

        @wraps(command)
        def run(**given: Any) -> None:
            try:
                values = {name: _value(name, given.pop(name), spellings) for name in BY_NAME}
                command(filter=EventFilter.of(**values), **given)
            except RejectedError as exc:
                if not exc.field:
                    raise
                raise wrong(_spelling(exc.field, spellings), exc.message) from exc

        # typer reads the signature and the annotations.
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _options(spellings: Mapping[str, str]) -> list[Parameter]:
    return [_option(condition, spellings.get(name)) for name, condition in BY_NAME.items()]


def _option(condition: Condition, other: str | None) -> Parameter:
    name = f"--{condition.name.replace('_', '-')}"
    spelled = f"{name}/--no-{name[2:]}" if condition.kind is ValueKind.FLAG else name
    declared = (other, spelled) if other else (spelled,)
    option = typer.Option(*declared, help=_help(condition), rich_help_panel=_PANEL)
    kinds: dict[ValueKind, Any] = {ValueKind.FLAG: bool, ValueKind.POSITION: int}
    kind: Any = list[str] if condition.many else kinds.get(condition.kind, str)
    return Parameter(
        condition.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _help(condition: Condition) -> str:
    help = condition.help.replace("`", "")
    if condition.enum is not None:
        help += f": {', '.join(condition.words)}"
    if condition.needs:
        help += f"; needs {_spelling(condition.needs, {})}"
    if condition.kind is ValueKind.TIME:
        help += ": a date (UTC) or a time with its offset"
    help += "; may be repeated" if condition.many else ""
    return help if help.endswith(".") else f"{help}."


def _value(name: str, given: Any, spellings: Mapping[str, str]) -> Any:
    if given is not None and BY_NAME[name].kind is ValueKind.TIME:
        at: datetime = moment(_spelling(name, spellings), given)
        return at
    return given


def _spelling(field: str, spellings: Mapping[str, str]) -> str:
    """The option for a field of a filter, or for an argument of a request."""
    if not field or field.startswith("--"):
        return field
    name = name_of(field)
    return spellings.get(name, f"--{name.replace('_', '-')}")
