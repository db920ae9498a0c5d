"""The glossary names the code of each word."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import ROOT

_ROW = re.compile(r"^\| (?P<words>\*\*.+?) \| (?P<meaning>.+) \| (?P<code>.*) \|$", re.MULTILINE)
_MODULE = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
_WORDS_OF_THE_CODE = (
    "access path", "access record", "build", "checkpoint", "custom projection", "dead letter", "disclosed patients",
    "driving condition", "hash code", "isolated process", "live build", "poison event", "principal", "recording gap",
    "redacted", "scope", "selectivity", "side table",
)  # fmt: skip


def rows() -> list[re.Match[str]]:
    return list(_ROW.finditer((ROOT / "docs" / "glossary.md").read_text("utf-8")))


def modules() -> Iterator[str]:
    for row in rows():
        yield from _MODULE.findall(row["code"])


@pytest.mark.parametrize("module", sorted(set(modules())))
def test_a_module_of_the_glossary_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_a_row_of_the_glossary_has_a_meaning_and_its_words_are_in_order() -> None:
    words = [row["words"].replace("*", "").lower() for row in rows()]
    assert words == sorted(words)
    assert all(len(row["meaning"]) > 10 for row in rows())


def test_the_glossary_explains_the_words_of_the_code() -> None:
    explained = "\n".join(row["words"] + row["meaning"] for row in rows())
    assert [word for word in _WORDS_OF_THE_CODE if f"**{word}**" not in explained] == []
