"""The nodes of a YAML file, read strictly: every error names the file, the line, the field, and what to write."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import yaml

from domain.errors import ConfigurationError

T = TypeVar("T")

_MAX_DEPTH = 20
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_PLAIN = "tag:yaml.org,2002:"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, a tenth of the time, where it is there."""
_UNLIKE_JSON = {
    _PLAIN + "bool": re.compile(r"(?i)yes|no|on|off|y|n"),
    _PLAIN + "int": re.compile(r".*[_:bx].*|[-+]?0[0-9]+"),
    _PLAIN + "float": re.compile(r".*[_:].*"),
}
"""What YAML 1.1 reads as something else than it looks like: `on` is true, and 1:30 is 90."""
_JSON_TAGS = {_PLAIN + name for name in ("str", "int", "float", "bool", "null")}


class Node:
    """One node of the file. `path` is the field that it stands in, such as ``targets[2].http.url``."""

    def __init__(self, node: yaml.Node, file: str, path: str = "") -> None:
        self._node = node
        self._file = file
        self.path = path

    @classmethod
    def read(cls, text: str, file: str, empty: str = "write its fields, each as `name: value`") -> Node:
        """The top of the file. Raises `ConfigurationError` for what is no YAML; `empty`: what to write into one."""
        try:
            _refuse_events(yaml.parse(text, Loader=_LOADER), file)
            top = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as exc:
            line = f", line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
            raise ConfigurationError(f"{file}{line}: this is no YAML: {exc.problem}") from exc
        except (yaml.YAMLError, RecursionError) as exc:
            raise ConfigurationError(f"{file}: this is no YAML ({type(exc).__name__})") from exc
        if top is None:
            raise ConfigurationError(f"{file}: it is empty: {empty}")
        return cls(top, file)

    def fail(self, what: str) -> NoReturn:
        """Raise `ConfigurationError` about this node."""
        line = self._node.start_mark.line + 1
        field = f"{self.path}: " if self.path else ""
        raise ConfigurationError(f"{self._file}, line {line}: {field}{what}")

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, Node]:
        """The fields of a mapping. Fails for a field that is unknown, missing or written twice."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail("write fields here, each as `name: value`")
        names = dict.fromkeys(known)
        found: dict[str, Node] = {}
        for key, value in self._node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            field = Node(value, self._file, f"{self.path}.{name}" if self.path else name)
            if name in found:
                Node(key, self._file, field.path).fail("this field is written twice: remove one")
            if name not in names:
                Node(key, self._file, field.path).fail(_unknown(name, list(names)))
            found[name] = field
        for name in required:
            if name not in found:
                self.fail(f"the field `{name}` is missing")
        return found

    def pairs(self) -> dict[str, Node]:
        """The fields of a mapping with any names. Fails for a name that is written twice."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail("write fields here, each as `name: value`")
        return self.fields([str(key.value) for key, _ in self._node.value])

    @property
    def line(self) -> int:
        """Its first line, from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def is_mapping(self) -> bool:
        """Whether it has fields."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    def items(self, most: int) -> list[Node]:
        """The entries of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail("write a list here, each entry after `- `")
        if len(self._node.value) > most:
            self.fail(f"at most {most} entries")
        return [
            Node(each, self._file, f"{self.path}[{index}]") for index, each in enumerate(self._node.value)
        ]

    def text(self, most: int, least: int = 1) -> str:
        """A text of `least` to `most` printable characters. A number counts as the text that is written."""
        value = self._scalar("a text")
        if not least <= len(value) <= most or not value.isprintable() or value != value.strip():
            self.fail(f"write a text of {least} to {most} printable characters, without spaces around it")
        return value

    def prose(self, most: int) -> str:
        """A text of 1 to `most` characters, which may have several lines."""
        value = self._scalar("a text").strip()
        if not 1 <= len(value) <= most or not all(char.isprintable() or char in "\n\t" for char in value):
            self.fail(f"write a text of 1 to {most} printable characters")
        return value

    def number(self, least: float, most: float) -> float:
        """A number within a range."""
        try:
            value = float(self._scalar("a number"))
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            self.fail(f"write a number from {least:g} to {most:g}")
        return value

    def whole(self, least: int, most: int) -> int:
        """A whole number within a range."""
        value = self._scalar("a number")
        if not value.isascii() or not value.isdigit() or len(value) > 9 or not least <= int(value) <= most:
            self.fail(f"write a whole number from {least} to {most}")
        return int(value)

    def flag(self) -> bool:
        """True or false."""
        value = self._scalar("true or false").lower()
        if value not in {"true", "false"}:
            self.fail("write true or false")
        return value == "true"

    def seconds(self, least: float, most: float) -> float:
        """A duration such as ``30s`` or ``5m``, in seconds. A number without a unit is seconds."""
        match = _DURATION.fullmatch(self._scalar("a time"))
        value = math.nan if match is None else float(match[1]) * _SECONDS[match[2]]
        if not least <= value <= most:
            self.fail(
                f"write a time from {least:g}s to {most:g}s, such as 30s, with one of the units ms, s, m, h, d"
            )
        return value

    def word(self, known: Sequence[str]) -> str:
        """One of the words."""
        value = self._scalar("a word")
        if value not in known:
            self.fail(f"write one of {', '.join(known)}{_near(value, known)}")
        return value

    def json_value(self) -> str | int | float | bool | None:
        """A text, number, true, false or null, as JSON has them."""
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag not in _JSON_TAGS:
            self.fail(
                "write a text, a number, true, false or null; a text that looks like a date needs quotes"
            )
        if self._node.tag in _UNLIKE_JSON and _UNLIKE_JSON[self._node.tag].fullmatch(self._node.value):
            self.fail("YAML reads this as a truth value or another number: write it in quotes, or as in JSON")
        try:
            value: Any = yaml.SafeLoader("").construct_object(self._node)
        except (ValueError, yaml.YAMLError):
            self.fail("write a text in quotes, or a number")
        if isinstance(value, float) and not math.isfinite(value):
            self.fail("JSON has no such number")
        return value if value is None or isinstance(value, str | bool | float) else int(value)

    def json_tree(self) -> Any:
        """The node with all below it, as JSON has them."""
        if self.is_mapping:
            return {name: node.json_tree() for name, node in self.pairs().items()}
        if isinstance(self._node, yaml.SequenceNode):
            return [node.json_tree() for node in self.items(len(self._node.value))]
        return self.json_value()

    def checked(self, read: Callable[[], T]) -> T:
        """The result of `read`, whose `ConfigurationError` becomes one of this node."""
        try:
            return read()
        except ConfigurationError as exc:
            self.fail(str(exc))

    def _scalar(self, what: str) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            self.fail(f"write {what} here")
        if self._node.tag == _PLAIN + "null":
            self.fail(f"this has no value: write {what}")
        return str(self._node.value)


def _refuse_events(events: Iterable[yaml.Event], file: str) -> None:
    """Refuse what no file of ours needs: references, which can multiply, tags, and deep nesting."""
    depth = 0
    for each in events:
        line = each.start_mark.line + 1 if each.start_mark else 0
        if isinstance(each, yaml.AliasEvent):
            raise ConfigurationError(f"{file}, line {line}: references (*name) are not read: write it out")
        if isinstance(each, yaml.NodeEvent) and getattr(each, "tag", None) not in {None, "!"}:
            raise ConfigurationError(f"{file}, line {line}: remove the tag (!...): values are plain")
        depth += isinstance(each, yaml.CollectionStartEvent) - isinstance(each, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigurationError(f"{file}, line {line}: fields are nested more than {_MAX_DEPTH} deep")


def _unknown(name: str, known: Sequence[str]) -> str:
    return "there is no such field" + (_near(name, known) or f"; there are {', '.join(known)}")


def _near(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, 1, 0.7)
    return f"; did you mean {found[0]}?" if found else ""
