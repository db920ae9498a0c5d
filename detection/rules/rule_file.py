"""Reading rule files (YAML, one or several documents): Sigma 2.1 with `logsource.product: audit_trail`.

Our two extensions are `tests` and `audit_trail`. Whatever is not supported is an error with file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, tzinfo
from functools import lru_cache
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from detection.context.tables import TABLES
from detection.rules.case_events import read_tests
from detection.rules.context_fields import read_lookups
from detection.rules.correlation_fields import Draft, members_of, read_correlation
from detection.rules.detection_fields import read_detection
from detection.rules.event_fields import event_field
from detection.rules.extension_fields import NAMES as EXTENSIONS
from detection.rules.rule import EventRule, Head, Rule, RuleSet, TestCases, digest_of, in_order, place
from domain.alert_level import Level
from domain.errors import ConfigurationError
from event_store.files.file_nodes import Node
from event_store.files.folders import read_file

PRODUCT = "audit_trail"
MAX_BYTES = 256 << 10
MAX_DOCUMENTS = 50
MAX_RULES = 1000
_DIVIDER = re.compile(r"(?m)^---(?=\s|$).*$")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TAG = re.compile(r"[a-z0-9_-]+\.[a-z0-9._-]+")
_STATUSES = ("stable", "test", "experimental", "deprecated", "unsupported")
_RELATIONS = ("derived", "obsolete", "merged", "renamed", "similar", "correlation")
_HEAD = (
    *(
        "title",
        "id",
        "name",
        "related",
        "taxonomy",
        "status",
        "description",
        "license",
        "references",
        "author",
    ),
    *("date", "modified", "fields", "falsepositives", "level", "tags", "scope", "tests", "audit_trail"),
)
_EVENT_RULE = (*_HEAD, "logsource", "detection")
_CORRELATION = (*_HEAD, "correlation")


def read_rules(files: Iterable[Path]) -> RuleSet:
    """The rules of these files as one set. Raises `ConfigurationError`, which says what to write where."""
    return parse_rules([(str(file), _text_of(file)) for file in files])


def parse_rules(texts: Sequence[tuple[str, str]]) -> RuleSet:
    """The same for names and texts of files."""
    rules: dict[str, EventRule] = {}
    drafts: dict[str, Draft] = {}
    names: dict[str, str] = {}
    for file, text in texts:
        for node, found in _rules_in(file, text):
            head = found.head
            if head.id in rules or head.id in drafts:
                node.fail(f"the id {head.id} is taken by another rule: give each its own")
            for name in filter(None, (head.id, head.name)):
                if names.setdefault(name, head.id) != head.id:
                    node.fail(f"the name {name} is taken by another rule: give each its own")
            if isinstance(found, EventRule):
                rules[head.id] = found
            else:
                drafts[head.id] = found
            if len(rules) + len(drafts) > MAX_RULES:
                node.fail(f"at most {MAX_RULES} rules")
    return _resolved(rules, drafts, names)


@lru_cache(maxsize=128)
def _rules_in(file: str, text: str) -> list[tuple[Node, EventRule | Draft]]:
    """The rules in one file, kept because most files are the same each time: checking their events takes longest."""
    return [(node, _document(node, source, file)) for node, source in _documents(file, text)]


def _text_of(file: Path) -> str:
    try:
        return read_file(file, MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no file {file}") from exc
    except OSError as exc:
        raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file} is not UTF-8") from exc


def _documents(file: str, text: str) -> Iterable[tuple[Node, str]]:
    """Each document with its text. A line of `---` divides them; the lines count from the beginning of the file."""
    if len(text) > MAX_BYTES:
        raise ConfigurationError(f"{file}: a file of rules has at most {MAX_BYTES} bytes")
    pieces, at, lines = [], 0, 0
    for divider in [*_DIVIDER.finditer(text), None]:
        piece = text[at : divider.start() if divider else len(text)]
        if any(line.strip() and not line.lstrip().startswith("#") for line in piece.splitlines()):
            pieces.append((lines, piece))
        end = divider.end() if divider else len(text)
        lines += text.count("\n", at, end)
        at = end
    if not pieces:
        raise ConfigurationError(f"{file}: it is empty: write a rule")
    if len(pieces) > MAX_DOCUMENTS:
        raise ConfigurationError(f"{file}: at most {MAX_DOCUMENTS} documents")
    for before, piece in pieces:
        yield Node.read("\n" * before + piece, file), piece.strip()


def _document(node: Node, text: str, file: str) -> EventRule | Draft:
    names = node.pairs()
    if "action" in names:
        names["action"].fail("actions such as `global` are those of Sigma 1: write each rule in full")
    if "filter" in names:
        names["filter"].fail("Sigma filters are not supported: write `not` in the condition of the rule")
    if "correlation" in names:
        fields = node.fields(_CORRELATION, ("title", "id", "correlation"))
        head = _head(node, fields, file)
        settings = _settings(fields, ("time", "lateness", *EXTENSIONS))
        return Draft(head, text, _tests(fields), node, fields, settings)
    fields = node.fields(_EVENT_RULE, ("title", "id", "logsource", "detection"))
    head = _head(node, fields, file)
    _check_source(fields["logsource"])
    settings = _settings(fields, ("time_zone", "context", "explains", "unexplained", "needs"))
    looked = read_lookups(settings.get("context"))
    explains, unexplained = _flag(settings, "explains"), _flag(settings, "unexplained")
    if explains and unexplained:
        settings["unexplained"].fail("a rule that explains sees all accesses")
    return EventRule(
        head=head,
        digest=digest_of(text),
        tests=_tests(fields),
        expression=read_detection(fields["detection"], _zone(settings), looked.field),
        lookups=tuple(looked.lookups.values()),
        needs=frozenset([each.table for each in looked.lookups.values()] + _needs(settings)),
        by_patient=explains or unexplained or any(each.of_patient for each in looked.lookups.values()),
        explains=explains,
        unexplained=unexplained,
    )


def _flag(settings: Mapping[str, Node], name: str) -> bool:
    return name in settings and settings[name].flag()


def _needs(settings: Mapping[str, Node]) -> list[str]:
    return [each.word(tuple(TABLES)) for each in settings["needs"].items(100)] if "needs" in settings else []


def _head(node: Node, fields: Mapping[str, Node], file: str) -> Head:
    def words(name: str, check: Callable[[Node], str]) -> tuple[str, ...]:
        return tuple(check(each) for each in fields[name].items(100)) if name in fields else ()

    def optional(name: str, check: Callable[[Node], str]) -> str | None:
        return check(fields[name]) if name in fields else None

    for each in fields["related"].items(100) if "related" in fields else ():
        related = each.fields(("id", "type"), ("id", "type"))
        _id(related["id"])
        related["type"].word(_RELATIONS)
    if "taxonomy" in fields:
        fields["taxonomy"].word(("sigma", PRODUCT))
    words("scope", lambda each: each.text(256))
    for name in words("fields", lambda one: one.text(256)):
        fields["fields"].checked(lambda name=name: event_field(name))  # type: ignore[misc]
    return Head(
        title=fields["title"].text(256),
        id=_id(fields["id"]),
        name=optional("name", _name),
        status=optional("status", lambda each: each.word(_STATUSES)),
        description=optional("description", lambda each: each.prose(65535)) or "",
        author=optional("author", lambda each: each.text(1024)),
        date=optional("date", _date),
        modified=optional("modified", _date),
        license=optional("license", lambda each: each.text(256)),
        references=words("references", lambda each: each.text(2048)),
        tags=words("tags", _tag),
        level=Level(fields["level"].word(tuple(Level))) if "level" in fields else Level.MEDIUM,
        falsepositives=words("falsepositives", lambda each: each.prose(2048)),
        fields=words("fields", lambda each: each.text(256)),
        file=file,
        line=node.line,
    )


def _id(node: Node) -> str:
    text = node.text(36)
    try:
        return str(UUID(text))
    except ValueError:
        node.fail("write a UUID, such as one of `uuidgen`")


def _name(node: Node) -> str:
    text = node.text(100, 2)
    if not _NAME.fullmatch(text):
        node.fail("a name has letters, digits, _ and -")
    return text


def _date(node: Node) -> str:
    text = node.text(10)
    try:
        found = date.fromisoformat(text).isoformat()
    except ValueError:
        found = ""
    if found != text:
        node.fail("write a date such as 2026-01-31")
    return found


def _tag(node: Node) -> str:
    text = node.text(256)
    if not _TAG.fullmatch(text):
        node.fail("a tag has a namespace and a name in lower case, such as attack.t1078")
    return text


def _check_source(node: Node) -> None:
    fields = node.fields(("product", "category", "service", "definition"), ("product",))
    fields["product"].word((PRODUCT,))
    for name in ("category", "service"):
        if name in fields:
            fields[name].fail(
                f"{name} selects nothing here: write `category: data` or the like into the detection"
            )
    if "definition" in fields:
        fields["definition"].prose(65535)


def _tests(fields: Mapping[str, Node]) -> TestCases:
    return read_tests(fields["tests"]) if "tests" in fields else TestCases()


def _settings(fields: Mapping[str, Node], known: Sequence[str]) -> dict[str, Node]:
    return fields["audit_trail"].fields(known) if "audit_trail" in fields else {}


def _zone(settings: Mapping[str, Node]) -> tzinfo:
    if "time_zone" not in settings:
        return UTC
    name = settings["time_zone"].text(100)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        settings["time_zone"].fail("there is no such time zone; write one such as Europe/Vienna")


def _resolved(
    rules: Mapping[str, EventRule], drafts: Mapping[str, Draft], names: Mapping[str, str]
) -> RuleSet:
    members = {id: members_of(draft, names) for id, draft in drafts.items()}
    places = {id: place(draft.head) for id, draft in drafts.items()}
    order = in_order({**dict.fromkeys(rules, ()), **members}, places)
    found: dict[str, Rule] = dict(rules)
    for id in order:
        if id in drafts:
            found[id] = read_correlation(drafts[id], members[id], found)
    return RuleSet([found[id] for id in order])
