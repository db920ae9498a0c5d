"""The page of the publishing client names all that the client has, asked of the client itself."""

from __future__ import annotations

import argparse
import inspect
import re

import msgspec

import audit_trail_publisher
from audit_trail.docs.publisher_page import publisher_page
from audit_trail_publisher import Health, Publisher, errors
from audit_trail_publisher.__main__ import _parser
from audit_trail_publisher.counters import METRICS
from audit_trail_publisher.generated.catalogue import CATALOGUE
from audit_trail_publisher.prometheus import PREFIX
from audit_trail_publisher.testing import CapturedTrail
from audit_trail_publisher.transports.kafka import KafkaTransport

PAGE = publisher_page()


def _part(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _names(heading: str) -> list[str]:
    """The first cells of the tables of a part, but their heads."""
    return re.findall(r"^\| `([^`]+)` \|", _part(heading), re.MULTILINE)


def test_each_parameter_has_its_default_and_is_explained() -> None:
    explained = inspect.getdoc(Publisher) or ""
    for parameter in inspect.signature(Publisher).parameters.values():
        assert f"| `{parameter.name}` |" in _part("Publisher")
        assert f"`{parameter.name}`" in explained
    assert "| `close_seconds` | `float` | `5.0` |" in _part("Publisher")
    for name in inspect.signature(KafkaTransport).parameters:
        assert f"| `{'**' if name == 'options' else ''}{name}` |" in _part("Transports")


def test_each_event_type_has_its_method() -> None:
    assert [each for each in CATALOGUE if f"| `{each}` |" not in _part("Event types")] == []


def test_each_error_metric_field_and_method_is_named() -> None:
    kinds = {name for name, each in vars(errors).items() if name.endswith("Error") and inspect.isclass(each)}
    assert kinds == set(_names("Errors"))
    assert {each.name for each in msgspec.structs.fields(Health)} < set(_names("Health"))
    suffixes = {"counter": "_total", "gauge": ""}
    assert [PREFIX + each.name + suffixes[each.kind] for each in METRICS] == _names("Metrics")
    methods = {name for name in vars(CapturedTrail) if name[0] != "_"}
    assert methods < {name.partition("(")[0].partition(" ")[0] for name in _names("Testing")}


def test_what_the_package_exports_is_described() -> None:
    described = {*_names("Values"), *re.findall(r"import (\w+)`", PAGE), "PublisherError"}
    assert set(audit_trail_publisher.__all__) <= described


def test_each_command_has_its_arguments_and_options() -> None:
    (commands,) = (each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        shown = (
            _part("Command line").partition(f"### audit-trail-publisher {name}\n")[2].partition("\n### ")[0]
        )
        assert shown
        for action in parser._actions[1:]:
            said = (
                action.option_strings[0] if action.option_strings else action.metavar or action.dest.upper()
            )
            assert f"| `{said}" in shown
            assert f"| {action.help} |" in shown
            assert f"| {action.default} |" in shown or action.default in (None, False)
