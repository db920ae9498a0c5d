"""Checks of README and docs: links resolve, commands and settings exist, and nothing names this or that machine.

It also checks that the publishing client has the event and the catalogue of now.

Run by `make check` as ``python -m tests.docs_checks``; exits 1 with one line per fault.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from audit_trail.cli import app
from audit_trail.docs import publisher_source

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z-]*")
_MACHINE = re.compile(r"(?<![\w.-])/(?:work|root|home|Users|private)/[\w.]|localhost:\d+/pypi", re.IGNORECASE)
_LEFTOVER = re.compile(r"\b(?:TODO|FIXME|XXX|lorem ipsum)\b", re.IGNORECASE)


def main() -> None:
    """Print every fault, or how much was checked."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    faults = [f"{_name(page)} is missing" for page in pages if not page.exists()]
    faults += [fault for page in pages if page.exists() for fault in _faults_of_page(page)]
    faults += [f"{_name(path)}:{line}: {why}" for path, line, why in _machine_paths()]
    faults += _faults_of_help()
    faults += [
        f"publisher/audit_trail_publisher/{name}: run `python -m audit_trail.docs.publisher_source`"
        for name in publisher_source.outdated()
    ]
    if faults:
        sys.exit("\n".join(faults))
    sys.stdout.write(f"Docs: {len(pages)} pages, and the help of every command: nothing amiss.\n")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _faults_of_page(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    prose = _FENCE.sub("", text)
    for match in _LINK.finditer(prose):
        target = match[1] or match[2]
        if not _link_resolves(page, target):
            yield f"{_name(page)}: the link to {target} leads nowhere"
    code = [line.strip().removeprefix("$ ") for fence in _FENCE.findall(text) for line in fence.splitlines()]
    for command in code + _CODE.findall(prose):
        fault = _fault_of_command(command)
        if fault:
            yield f"{_name(page)}: `{command}`: {fault}"
    for found in _LEFTOVER.findall(text):
        yield f"{_name(page)}: {found} was left over"


def _link_resolves(page: Path, target: str) -> bool:
    """Whether a file, and a heading in it, is there. What is on the network is not asked."""
    if re.match(r"[a-z]+:", target):
        return True
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or path.suffix != ".md" or anchor in _anchors(path)


def _anchors(page: Path) -> set[str]:
    """The headings' anchors, made as the usual renderers make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _fault_of_command(text: str) -> str | None:
    """What is wrong with a `make` or an `audit-trail` command; None for other text, and for what is right."""
    program, *words = text.split()[:4] or [""]
    if program == "make":
        targets = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
        wanted = [word for word in words if _WORD.fullmatch(word)][:1]
        return next((f"make has no target {word}" for word in wanted if word not in targets), None)
    if program != "audit-trail":
        return None
    command: Any = get_command(app)
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None or not _WORD.fullmatch(word):
            return None
        # `list|show|requeue` is one way to write three commands, and is no word.
        if word not in commands:
            return f"there is no command {word}"
        command = commands[word]
    return None


def _faults_of_help() -> Iterator[str]:
    """Every command explains itself, and so does each of its options."""
    pending: list[tuple[str, Any]] = [("audit-trail", get_command(app))]
    while pending:
        path, command = pending.pop()
        if not command.help:
            yield f"{path} has no help"
        for parameter in command.params:
            if getattr(parameter, "help", None) == "" or (
                parameter.param_type_name == "option" and not parameter.help
            ):
                yield f"{path}: {parameter.name} has no help"
        pending += [(f"{path} {name}", inner) for name, inner in getattr(command, "commands", {}).items()]


def _machine_paths() -> Iterator[tuple[Path, int, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if (
            path.suffix not in {".py", ".md", ".sql", ".cfg", ".toml", ".yaml", ".js", ".html"}
            or not path.is_file()
        ):
            continue
        if path == Path(__file__) or "samples" in path.parts:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if _MACHINE.search(line):
                yield path, number, "names a folder of one machine"


if __name__ == "__main__":
    main()
