"""The rules that shall count: the shipped ones, those of analysts in a folder, and what their owners switch off.

The folder holds files of rules (`*.yaml`), and may hold `switched_off.yaml`: a list of entries with `rule` (an id),
`owner`, `reason` and perhaps `until` (a date, the last day). One fault anywhere, and nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from detection.live.rule_sets import SWITCHED_OFF, Documents, SwitchedOff, rules_of, switched_off
from detection.pack import pack_files
from detection.rule_tests import run_tests, untested
from detection.rules.rule import Rule, RuleSet
from detection.rules.rule_file import MAX_BYTES, parse_rules
from domain.errors import ConfigurationError
from event_store.files.file_nodes import Node
from event_store.files.folders import read_file

OFF_FILE = "switched_off.yaml"
SHIPPED = "shipped/"
"""The beginning of the names of shipped files in a set."""
_MAX_FILES = 500
_MAX_OFF = 500
_MAX_TEXT = 2000


class FolderState(Struct, frozen=True):
    """What tells whether a folder has changed: names, sizes and times of its files, and the day."""

    files: tuple[tuple[str, int, int], ...]
    day: date


def folder_state(folder: Path | None, today: date) -> FolderState:
    """The state of the folder. Raises `ConfigurationError` when it can't be read."""
    found = []
    for file in _files(folder):
        try:
            status = file.stat()
        except OSError as exc:
            raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
        found.append((file.name, status.st_size, status.st_mtime_ns))
    return FolderState(tuple(found), today)


def wanted_documents(folder: Path | None, today: date) -> Documents:
    """The files of the set that shall count. Raises `ConfigurationError`, which names file, line and field."""
    shipped = [(SHIPPED + file.name, file.read_text("utf-8")) for file in pack_files()]
    files = _files(folder)
    own = [(file.name, _text_of(file)) for file in files if file.name != OFF_FILE]
    rules = parse_rules([*shipped, *own])
    for rule in rules:
        if not rule.head.file.startswith(SHIPPED):
            _check_own(rules, rule)
    off = [each for file in files if file.name == OFF_FILE for each in _read_off(file, rules, today)]
    listed = [(SWITCHED_OFF, msgspec.json.encode(off).decode())] if off else []
    return [*shipped, *own, *listed]


def changes(before: Documents, after: Documents) -> dict[str, Any]:
    """What differs between two sets, for the event of the activation."""
    old, new = ({rule.head.id: rule for rule in rules_of(each)} for each in (before, after))
    off = [msgspec.to_builtins(each) for each in switched_off(after)]
    return {
        "rules": len(new),
        "added": [_named(new[id]) for id in new if id not in old],
        "changed": [_named(new[id]) for id in new if id in old and old[id].digest != new[id].digest],
        "removed": [_named(old[id]) for id in old if id not in new],
        "switched_off": off,
    }


def _named(rule: Rule) -> dict[str, str]:
    named = {"id": rule.head.id, "sha256": rule.digest, "title": rule.head.title, "file": rule.head.file}
    return named | ({"author": rule.head.author} if rule.head.author else {})


def _files(folder: Path | None) -> Sequence[Path]:
    if folder is None:
        return []
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix in {".yaml", ".yml"})
    except OSError as exc:
        raise ConfigurationError(f"the folder of rules {folder} can't be read: {exc.strerror}") from exc
    if len(files) > _MAX_FILES:
        raise ConfigurationError(f"the folder of rules {folder} has more than {_MAX_FILES} files")
    return files


def _text_of(file: Path) -> str:
    try:
        return read_file(file, MAX_BYTES).decode()
    except OSError as exc:
        raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file} is not UTF-8") from exc


def _check_own(rules: RuleSet, rule: Rule) -> None:
    """An analyst's rule names who answers for it, and passes its own tests."""
    where = f"{rule.head.file}, line {rule.head.line}"
    if not rule.head.author:
        raise ConfigurationError(f"{where}: the field `author` is missing: write who answers for the rule")
    part = rules.part(rule.head.id)
    if rule in rules.reported and rule in untested(part):
        raise ConfigurationError(
            f"{where}: tests: write events with which the rule fires, and others with which it is silent"
        )
    failed = next((each for each in run_tests(part) if each.rule is rule and not each.passed), None)
    if failed is not None:
        raise ConfigurationError(
            f"{where}: tests.{'fires' if failed.wanted else 'silent'}[{failed.number - 1}] fails: see `audit-trail"
            " detect test`"
        )


def _read_off(file: Path, rules: RuleSet, today: date) -> Iterator[SwitchedOff]:
    """The entries that count today."""
    known = {rule.head.id for rule in (*rules.reported, *rules.explaining)}
    for entry in Node.read(_text_of(file), str(file), "write a list of rules").items(_MAX_OFF):
        fields = entry.fields(("rule", "owner", "reason", "until"), ("rule", "owner", "reason"))
        id = fields["rule"].text(36)
        if id not in known:
            fields["rule"].fail("there is no rule with this id that reports or explains anything")
        until = fields["until"].text(10) if "until" in fields else ""
        try:
            over = bool(until) and date.fromisoformat(until) < today
        except ValueError:
            fields["until"].fail("write a date such as 2026-01-31")
        if not over:
            yield SwitchedOff(
                rule=id,
                owner=fields["owner"].text(256),
                reason=fields["reason"].prose(_MAX_TEXT),
                until=until,
            )
