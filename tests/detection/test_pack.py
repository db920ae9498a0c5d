"""The rules that are shipped: each fires on its own events, is silent on the others, and is a rule of Sigma 2.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

import detection.pack
from detection.pack import pack_files
from detection.rule_tests import run_tests, untested
from detection.rules.rule_file import read_rules
from domain.alert_level import Level
from tests.detection.small_logs import correlation, failures, rule
from tests.detection.test_rule_file import COUNT, WHOLE

_SCHEMAS = Path(__file__).parents[1] / "samples" / "sigma"


def _validators() -> dict[bool, Any]:
    return {
        correlated: jsonschema_rs.validator_for(json.loads((_SCHEMAS / name).read_text("utf-8")))
        for correlated, name in (
            (False, "sigma-detection-rule-schema.json"),
            (True, "sigma-correlation-rules-schema.json"),
        )
    }


def _documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(text, Loader=_Texts))


class _Texts(yaml.SafeLoader):
    """Dates are texts, as in JSON."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_every_shipped_rule_passes_its_own_tests() -> None:
    shipped = read_rules(pack_files())
    assert [result for result in run_tests(shipped) if not result.passed] == []
    assert untested(shipped) == []


def test_every_shipped_rule_says_what_a_privacy_officer_needs() -> None:
    for each in read_rules(pack_files()).reported:
        head = each.head
        assert head.description, head.title
        assert head.falsepositives, head.title
        assert head.references, head.title
        assert head.level is not Level.INFORMATIONAL, head.title


@pytest.mark.parametrize("file", pack_files(), ids=lambda file: file.stem)
def test_every_shipped_file_has_a_name_and_documents_as_sigma_wants_them(file: Path) -> None:
    validators = _validators()
    assert 10 <= len(file.stem) <= 70
    for document in _documents(file.read_text("utf-8")):
        validators["correlation" in document].validate(document)


def test_what_we_accept_is_valid_in_sigma() -> None:
    validators = _validators()
    texts = [
        WHOLE,
        failures(level="high", tests={"fires": [], "silent": []}),
        rule({"s": [{"reason|contains|all": ["a", "b"]}, {"request.status|gte": 400}], "condition": "s"}),
        correlation(
            extension={"time": "occurred_at", "lateness": "1h"}, **{**COUNT, "group-by": ["actor.id"]}
        ),
    ]
    for text in texts:
        for document in _documents(text):
            validators["correlation" in document].validate(document)


def test_the_pack_is_in_the_package() -> None:
    assert Path(detection.pack.__file__).parent / "mass_access.yaml" in pack_files()
