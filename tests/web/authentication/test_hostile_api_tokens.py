"""Files of API tokens with mistakes that would let somebody in, or keep everybody out."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from domain.access.principal import Role
from domain.errors import ConfigurationError
from web.authentication.api_tokens import ApiToken, ApiTokens, digest, read_tokens
from web.authentication.api_tokens_file import add_token, remove_token

GOOD = f"""
[[token]]
id = "abcd"
name = "pump-gateway"
sha256 = "{digest("s" * 43)}"
roles = ["publisher"]
"""


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("[[token]]", "[[tokens]]"),
        GOOD.replace("[[token]]", "[token]"),
        GOOD + GOOD,
        GOOD + "sources = []",
        GOOD + 'patients = [""]',
        GOOD.replace("publisher", "king"),
        GOOD.replace('"abcd"', '"AB_CD"'),
        GOOD.replace(digest("s" * 43), ""),
        GOOD.replace(digest("s" * 43), "\N{LATIN SMALL LETTER E WITH ACUTE}" * 64),
        GOOD.replace(digest("s" * 43), "s" * 43),
        GOOD + "expires = 2020-01-01",
        GOOD + "role = 'admin'",
        "\x00",
    ],
)
def test_a_file_with_a_mistake_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        ApiTokens(file)
    assert str(file) in str(refused.value)


def test_the_good_file_of_these_tests_is_good(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(GOOD, encoding="utf-8")
    found = asyncio.run(ApiTokens(file).principal("at_abcd_" + "s" * 43))
    assert found is not None
    assert found.roles == {Role.PUBLISHER}


NAMES = ("one", 'two "quoted" \\ \N{SNOWMAN} \N{GRINNING FACE} \x7f')


def entry(name: str, sources: tuple[str, ...], token_id: str, sha256: str) -> ApiToken:
    return ApiToken(id=token_id, name=name, sha256=sha256, roles=(Role.PUBLISHER,), sources=sources)


def test_what_is_written_is_read_again_and_only_its_owner_may(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    for name, sources in ((NAMES[0], ()), (NAMES[1], ("a", "b"))):
        add_token(file, partial(entry, name, sources))
    first, second = read_tokens(file).values()
    assert (second.name, second.sources, first.sources) == (NAMES[1], ("a", "b"), ())
    assert file.stat().st_mode & 0o777 == 0o600
    remove_token(file, first.id)
    assert list(read_tokens(file)) == [second.id]


def test_a_name_that_is_no_text_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigurationError):
        add_token(file, partial(entry, "\udcff", ()))
    assert file.read_text(encoding="utf-8") == GOOD
