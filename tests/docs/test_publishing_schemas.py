"""The promise to publishers: what was released is accepted by every later release, and the AsyncAPI document is one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from audit_trail.docs.asyncapi import asyncapi_document
from audit_trail.docs.event_schema import event_schema
from domain.validation import decode_event
from tests.docs.narrowing import Narrowing

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
OFFICIAL = ROOT / "tests" / "samples" / "asyncapi" / "3.0.0.json"

Document = dict[str, Any]


def parsed(name: str) -> Document:
    found: Document = json.loads((REFERENCE / name).read_text("utf-8"))
    return found


RELEASED, NOW = parsed("audit-event-released.schema.json"), json.loads(event_schema())
RELEASED_API, API = parsed("asyncapi-released.json"), json.loads(asyncapi_document())


def broken_schema(old: Document, new: Document) -> list[str]:
    return list(Narrowing(old, new).found(old, new))


def broken_api(old: Document, new: Document) -> Iterator[str]:
    """What a publisher may send by `old`, and not by `new`; and what is missing in the answers of `new`."""
    for name, channel in old["channels"].items():
        if new["channels"].get(name, {}).get("address") != channel["address"]:
            yield f"channel {name} is gone, or has another address"
            continue
        for message in sorted(channel["messages"].keys() - new["channels"][name]["messages"].keys()):
            yield f"channel {name}: message {message} is removed"
    for name, operation in old["operations"].items():
        now = new["operations"].get(name, {})
        if any(now.get(key) != operation.get(key) for key in ("action", "channel", "bindings")):
            yield f"operation {name} is gone, or another one"
    answers = {_last(each) for each in _answers(old)}
    before, after = old["components"]["messages"], new["components"]["messages"]
    for name in sorted(before.keys() & after.keys()):
        one, other = before[name], after[name]
        if one["contentType"] != other["contentType"]:
            yield f"message {name} has another media type"
        for part in ("payload", "headers"):
            if name in answers:
                yield from lost(old, new, one.get(part, {}), other.get(part, {}), name)
            else:
                yield from Narrowing(old, new).found(one.get(part, {}), other.get(part, {}), name)


def _answers(document: Document) -> Iterator[str]:
    for operation in document["operations"].values():
        yield from (each["$ref"] for each in operation.get("reply", {}).get("messages", ()))


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def lost(old: Document, new: Document, one: Document, other: Document, at: str) -> Iterator[str]:
    """The fields of an answer that are gone, have another type, or may be missing now."""
    one, other = _schema(old, one), _schema(new, other)
    if one.get("type") != other.get("type"):
        yield f"{at}: another type"
    for name in sorted(set(one.get("required", ())) - set(other.get("required", ()))):
        yield f"{at}.{name}: it may be missing now"
    for name, schema in one.get("properties", {}).items():
        if name not in other.get("properties", {}):
            yield f"{at}.{name}: the field is removed"
        else:
            yield from lost(old, new, schema, other["properties"][name], f"{at}.{name}")
    if "items" in one:
        yield from lost(old, new, one["items"], other.get("items", {}), f"{at}[]")


def _schema(document: Document, schema: Document) -> Document:
    if "$ref" not in schema:
        return schema
    found: Document = document["components"]["schemas"][_last(schema["$ref"])]
    return found


def test_every_event_that_was_valid_is_valid() -> None:
    assert broken_schema(RELEASED, NOW) == []
    assert list(broken_api(RELEASED_API, API)) == []


def test_an_addition_raises_the_version() -> None:
    def version(comment: str) -> tuple[int, ...]:
        return tuple(map(int, comment.removeprefix("version ").split(".")))

    assert API["info"]["version"] == NOW["$comment"].removeprefix("version ")
    more = broken_schema(NOW, RELEASED)
    assert (version(NOW["$comment"]) > version(RELEASED["$comment"])) is bool(more)


Change = Callable[[Document], Any]


def definition(name: str) -> Callable[[Document], Document]:
    return lambda schema: schema["$defs"][name]


EVENT, SOURCE, REQUEST, CHANGE = map(definition, ("AuditEvent", "Source", "Request", "Change"))
BREAKING: dict[str, tuple[Change, str]] = {
    "a field is removed": (lambda s: EVENT(s)["properties"].pop("reason"), ".reason: the field is removed"),
    "a field of a part is removed": (
        lambda s: SOURCE(s)["properties"].pop("site"),
        ".source.site: the field is removed",
    ),
    "a field is required": (
        lambda s: EVENT(s)["required"].append("session"),
        ".session: the field is required now",
    ),
    "a type is narrowed": (
        lambda s: EVENT(s)["properties"].update(emergency={"type": "string", "default": False}),
        ".emergency: no longer boolean",
    ),
    "null is refused": (
        lambda s: EVENT(s)["properties"].update(session=EVENT(s)["properties"]["session"]["anyOf"][0]),
        ".session: no longer null",
    ),
    "a number becomes an integer": (
        lambda s: REQUEST(s)["properties"]["duration_ms"]["anyOf"][0].update(type="integer"),
        ".request.duration_ms: no longer number",
    ),
    "a value of an enumeration is removed": (
        lambda s: s["$defs"]["Outcome"]["enum"].remove("minor_failure"),
        ".outcome: no longer the values ['minor_failure']",
    ),
    "a text is shorter": (
        lambda s: SOURCE(s)["properties"]["service"].update(maxLength=255),
        ".source.service: maxLength is 255 now",
    ),
    "a text is longer at least": (
        lambda s: SOURCE(s)["properties"]["service"].update(minLength=2),
        ".source.service: minLength is 2 now",
    ),
    "a number is bounded": (
        lambda s: REQUEST(s)["properties"]["status"]["anyOf"][0].update(maximum=500),
        ".request.status: maximum is 500 now",
    ),
    "an array is bounded": (
        lambda s: EVENT(s)["properties"]["changes"].update(maxItems=9),
        ".changes: maxItems is 9 now",
    ),
    "the parts of an array are narrowed": (
        lambda s: CHANGE(s)["properties"]["path"].update(maxLength=9),
        ".changes[items].path: maxLength is 9 now",
    ),
    "free values are bound": (
        lambda s: CHANGE(s)["properties"].update(before={"type": "string"}),
        ".changes[items].before: no longer array, boolean, integer, null, number, object",
    ),
    "a pattern is added": (
        lambda s: EVENT(s)["properties"]["type"].update(pattern="^[a-z.]+$"),
        ".type: pattern is new, or another one",
    ),
    "a default is changed": (
        lambda s: EVENT(s)["properties"]["emergency"].update(default=True),
        ".emergency: default is new, or another one",
    ),
    "a free object is closed": (
        lambda s: EVENT(s)["properties"]["attributes"].update(additionalProperties=False),
        ".attributes: other fields are refused now",
    ),
    "a condition is added": (
        lambda s: SOURCE(s).update({"if": {"required": ["site"]}, "then": {"required": ["instance"]}}),
        ".source: a condition is new",
    ),
    "a condition demands more": (
        lambda s: SOURCE(s)["then"]["required"].append("site"),
        ".source[then].site: the field is required now",
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_takes_something_from_publishers_is_noticed(name: str) -> None:
    change, message = BREAKING[name]
    changed = copy.deepcopy(NOW)
    change(changed)
    assert message in broken_schema(NOW, changed)
    api = copy.deepcopy(API)
    change({"$defs": api["components"]["schemas"]})
    assert f"event{message}" in list(broken_api(API, api))


HARMLESS: dict[str, Change] = {
    "an optional field": lambda s: EVENT(s)["properties"].update(weather={"type": "string"}),
    "another value": lambda s: s["$defs"]["Outcome"]["enum"].append("unknown"),
    "a longer text": lambda s: SOURCE(s)["properties"]["service"].update(maxLength=512),
    "null": lambda s: EVENT(s)["properties"].update(
        emergency={"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": False}
    ),
    "a field that may be missing": lambda s: EVENT(s)["required"].remove("actor"),
    "other words": lambda s: EVENT(s).update(description="Something else."),
    "fewer rules": lambda s: EVENT(s)["properties"]["event_id"].pop("format"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_adds_is_no_breach(name: str) -> None:
    changed = copy.deepcopy(NOW)
    HARMLESS[name](changed)
    assert changed != NOW
    assert broken_schema(NOW, changed) == []


API_BREAKING: dict[str, Change] = {
    "channel topic is gone, or has another address": lambda d: d["channels"]["topic"].update(address="x"),
    "channel post: message events is removed": lambda d: d["channels"]["post"]["messages"].pop("events"),
    "operation receivePost is gone, or another one": lambda d: d["operations"].pop("receivePost"),
    "message event has another media type": lambda d: d["components"]["messages"]["event"].update(
        contentType="text/plain"
    ),
    "events: maxItems is 10 now": lambda d: d["components"]["messages"]["events"]["payload"].update(
        maxItems=10
    ),
    "accepted.rejected: the field is removed": lambda d: d["components"]["schemas"]["Accepted"][
        "properties"
    ].pop("rejected"),
    "accepted.accepted: it may be missing now": lambda d: d["components"]["schemas"]["Accepted"][
        "required"
    ].remove("accepted"),
}


@pytest.mark.parametrize("message", API_BREAKING)
def test_what_the_document_takes_from_publishers_is_noticed(message: str) -> None:
    changed = copy.deepcopy(API)
    API_BREAKING[message](changed)
    assert message in list(broken_api(API, changed))


def test_the_document_is_valid_asyncapi() -> None:
    official = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text("utf-8")))
    assert [each.message for each in official.iter_errors(API)] == []
    wrong = copy.deepcopy(API)
    wrong["operations"]["receivePost"]["action"] = "accept"
    assert not official.is_valid(wrong)


def test_its_references_lead_somewhere_and_its_examples_are_accepted() -> None:
    for reference in _references(API):
        found: Any = API
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    payloads = {
        name: [each["payload"] for each in message.get("examples", ())]
        for name, message in API["components"]["messages"].items()
    }
    for name, examples in payloads.items():
        schema = API["components"]["messages"][name]["payload"] | {"components": API["components"]}
        validator = jsonschema_rs.validator_for(schema)
        assert [each.message for example in examples for each in validator.iter_errors(example)] == []
    [event] = payloads["event"]
    assert decode_event(json.dumps(event).encode()).source.service == event["source"]["service"]
    assert payloads["accepted"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
