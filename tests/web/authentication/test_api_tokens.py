"""API tokens of machines: made, read and revoked by the command line, and taken from a file that may change."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.access.principal import Principal, Role
from domain.errors import ConfigurationError, UnauthenticatedError
from domain.event import ActorKind
from tests.audit_trail.programs import run
from web.authentication.api_tokens import ApiToken, ApiTokens, read_tokens
from web.authentication.api_tokens_file import add_token, remove_token

DIGEST = "0" * 64


def make(path: Path, name: str = "patient-service", expires: datetime | None = None) -> str:
    """A new token of a publisher."""
    return add_token(
        path,
        lambda token_id, digest: ApiToken(
            id=token_id, name=name, sha256=digest, roles=(Role.PUBLISHER,), sources=("a",), expires=expires
        ),
    )


def ask(tokens: ApiTokens, text: str) -> Principal | None:
    """The principal of a token."""
    return asyncio.run(tokens.principal(text))


def test_a_token_is_its_machine(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    text = make(file)
    found = ask(ApiTokens(file), text)
    assert found is not None
    assert (found.id, found.kind, found.sources) == ("patient-service", ActorKind.SERVICE, ("a",))
    assert found.roles == {Role.PUBLISHER}
    secret = text.split("_", 2)[2]
    assert secret not in file.read_text()
    assert found.session is not None
    assert secret not in found.session
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_secret_or_id_is_refused_and_another_kind_is_left_to_others(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    text, other = make(file), make(file, "other")
    tokens = ApiTokens(file)
    mixed = "_".join([*text.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in (mixed, text[:-1] + ("a" if text[-1] != "a" else "b"), "at_nobody_" + "x" * 43):
        with pytest.raises(UnauthenticatedError):
            ask(tokens, wrong)
    assert ask(tokens, "at_short") is None
    assert ask(tokens, "a.b.c") is None


def test_a_token_ends(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    now = datetime.now(UTC)
    good, over = make(file, expires=now + timedelta(hours=1)), make(file, expires=now - timedelta(seconds=1))
    tokens = ApiTokens(file)
    found = ask(tokens, good)
    assert found is not None
    assert found.expires_at == now + timedelta(hours=1)
    with pytest.raises(UnauthenticatedError, match="expired"):
        ask(tokens, over)


def test_changes_of_the_file_are_noticed_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    text = make(file)
    tokens = ApiTokens(file)
    second = make(file, "second")
    assert ask(tokens, second) is not None
    written = file.read_text()
    file.write_text("[[token]\n")
    assert ask(tokens, text) is not None
    file.write_text(written)
    remove_token(file, text.split("_")[1])
    with pytest.raises(UnauthenticatedError):
        ask(tokens, text)
    with pytest.raises(ConfigurationError, match="no token"):
        remove_token(file, "nothing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[token]]\nid = 7", "id"),
        (f'[[token]]\nid = "abcd"\nname = "n"\nsha256 = "{DIGEST}"\nroles = ["king"]', "roles"),
        (f'[[token]]\nid = "abcd"\nname = "n"\nsha256 = "{DIGEST}"\nroles = []\nsecret = "s"', "secret"),
        ("token = 1 = 2", "line 1"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_tokens(file)


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    settings = {"api_tokens_file": str(tmp_path / "tokens.toml")}
    made = run(
        "tokens", "new", "--name", "scraper", "--role", "operator", "--expires", "12h", settings=settings
    )
    assert made.returncode == 0, made.stderr
    id = made.stdout.split("_")[1]
    listed = run("tokens", "list", settings=settings)
    assert id in listed.stdout
    assert "scraper" in listed.stdout
    assert run("tokens", "revoke", id, settings=settings).returncode == 0
    again = run("tokens", "revoke", id, settings=settings)
    assert (again.returncode, "no token has this id" in again.stderr) == (2, True)
    for text in ("soon", ""):
        wrong = run(
            "tokens", "new", "--name", "x", "--role", "operator", "--expires", text, settings=settings
        )
        assert (wrong.returncode, "--expires" in wrong.stderr) == (2, True)
    unset = run("tokens", "list")
    assert (unset.returncode, "AUDIT_TRAIL_API_TOKENS_FILE" in unset.stderr) == (2, True)
    assert run("token", "--role", "auditor", "--data", tmp_path).returncode == 2
