"""Reads docstrings, signatures and fields from Python source, for a page about a package that is not imported."""

from __future__ import annotations

import ast
import re
from typing import Any

Rows = list[tuple[str, ...]]


def named(body: list[Any], name: str) -> Any:
    """The class or function of this name; None if there is none."""
    return next((each for each in body if getattr(each, "name", None) == name), None)


def assigned(body: list[Any], name: str) -> Any:
    """The expression that is assigned to a name."""
    found = (each for each in body if isinstance(each, ast.Assign))
    return next(each.value for each in found if ast.unparse(each.targets[0]) == name)


def line(node: Any) -> str:
    """A docstring in one line."""
    return " ".join(_docstring(node).split())


def prose(node: Any) -> str:
    """A docstring as Markdown, with one line for each paragraph and for each item of a list."""
    text = _docstring(node).replace("\n::\n", "").replace("::\n", ":\n")
    return "\n\n".join(
        each if each.startswith("    ") else re.sub(r"\n(?!- ) *", " ", each) for each in text.split("\n\n")
    )


def call(function: ast.FunctionDef) -> str:
    """A function as its `def` has it, without `self`; a property without brackets."""
    decorators = {ast.unparse(each) for each in function.decorator_list}
    arguments = ast.unparse(function.args).removeprefix("self").removeprefix(", ")
    text = f"{function.name}({re.sub(r'(?<=[a-zA-Z_0-9]|])=(?=.)', ' = ', arguments)})"
    if "contextmanager" in decorators:
        return f"with {text}"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return (function.name if "property" in decorators else text) + returns


def parameters(method: ast.FunctionDef) -> Rows:
    """Name, type and default of the parameters of a method, without `self`."""
    given = method.args
    plain = given.args[1:]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults, *given.kw_defaults]
    rows = [
        (each.arg, each.annotation, f"`{ast.unparse(default)}`" if default else "required")
        for each, default in zip([*plain, *given.kwonlyargs], defaults, strict=True)
    ]
    if given.kwarg:
        rows.append((f"**{given.kwarg.arg}", given.kwarg.annotation, ""))
    return [(f"`{name}`", f"`{ast.unparse(kind)}`" if kind else "", default) for name, kind, default in rows]


def methods(node: ast.ClassDef) -> Rows:
    """The public methods and what they do, without those whose docstring only refers to an interface."""
    found = (each for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_")
    return [(f"`{call(each)}`", line(each)) for each in found if not line(each).startswith("See `")]


def fields(body: list[Any]) -> Rows:
    """Name, type and docstring of the public attributes that have a type or a docstring.

    In an enumeration the value stands in the place of the type.
    """
    rows: Rows = []
    for each, behind in zip(body, [*body[1:], None], strict=False):
        match each:
            case ast.AnnAssign(target=target, annotation=kind):
                pass
            case ast.Assign(targets=[ast.Attribute() as target], value=ast.Constant(value=value)) if _is_text(
                behind
            ):
                kind = ast.Name(type(value).__name__)
            case ast.Assign(targets=[target], value=value) if _is_text(behind):
                kind = value.func if isinstance(value, ast.Call) else value
            case _:
                continue
        name = ast.unparse(target).removeprefix("self.")
        if name[0] != "_" and "." not in name:
            said = behind.value.value if _is_text(behind) else ""
            rows.append((f"`{name}`", f"`{ast.unparse(kind)}`", " ".join(said.replace("``", "`").split())))
    return rows


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _docstring(node: Any) -> str:
    return (ast.get_docstring(node) or "").replace("``", "`")
