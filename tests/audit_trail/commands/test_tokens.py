"""Tokens as users get them: of the stack on this machine, and of an issuer that `serve` is told of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit_trail.development_issuer import PRIVATE, PUBLIC, create_issuer, issue
from audit_trail.embedded.broker import free_ports
from audit_trail.serving.authentication import authentication, issued_tokens
from audit_trail.settings import load
from domain.errors import ConfigurationError
from tests.audit_trail.programs import PROGRAM, environment, eventually, fetch, run, running
from tests.tokens import ISSUER, bearer
from tests.web.authentication.issuers import Issuer, issuing

NO_SERVICES = {"database_url": "postgresql://localhost:1/none", "kafka_bootstrap_servers": "127.0.0.1:1"}


@contextmanager
def up(data: Path, log: Path, **settings: str) -> Iterator[str]:
    """The address of a stack in `data`."""
    port = str(free_ports(1)[0])
    ours = environment(http_port=port, **settings)
    del ours["AUDIT_TRAIL_AUTH_ISSUERS"]
    with log.open("w") as file:
        program = subprocess.Popen([*PROGRAM, "up", "--data", str(data)], env=ours, stdout=file, stderr=file)
    try:
        eventually(lambda: "Ctrl-C" in log.read_text() or program.poll() is not None, 90)
        assert program.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        program.wait(60)


@pytest.mark.thorough
def test_up_takes_the_tokens_of_its_own_folder_whatever_that_is_called_and_was_said_of_another_issuer(
    server_folder: Path,
) -> None:
    data = server_folder / "a, b \N{GRINNING FACE}"
    mine = {"settings_file": str(data / "settings.toml")}
    told = {"auth_roles_claim": "realm_access.roles", "auth_role_map": "a=admin", "auth_audiences": "other"}
    with up(data, server_folder / "up.log", **told) as url:
        made = run("token", "--role", "auditor", settings=mine)
        assert made.returncode == 0, made.stderr
        header = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert fetch(f"{url}/v1/events?first=1", headers=header)[0] == 200
        assert fetch(f"{url}/metrics", headers=header)[0] == 403
        assert fetch(f"{url}/v1/events?first=1", headers={})[0] == 401
        made = run("tokens", "new", "--name", "reader", "--role", "auditor", settings=mine)
        assert made.returncode == 0, made.stderr
        machine = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert fetch(f"{url}/v1/events?first=1", headers=machine)[0] == 200
        revoked = run("tokens", "revoke", made.stdout.split("_")[1], settings=mine)
        assert revoked.returncode == 0, revoked.stderr
        assert fetch(f"{url}/v1/events?first=1", headers=machine)[0] == 401
        assert fetch(f"{url}/v1/events?first=1", headers=bearer("admin"))[0] == 401
    assert (data / PRIVATE).stat().st_mode & 0o777 == 0o600


def test_a_folder_without_an_issuer_is_told_so(tmp_path: Path) -> None:
    made = run("token", "--role", "auditor", "--data", tmp_path)
    assert (made.returncode, made.stdout) == (2, "")
    assert "audit-trail up" in made.stderr
    (tmp_path / PRIVATE).write_text("no key")
    made = run("token", "--role", "auditor", "--data", tmp_path)
    assert made.returncode == 2
    assert "Traceback" not in made.stderr


def test_a_key_set_that_was_lost_is_made_again_from_the_key(tmp_path: Path) -> None:
    create_issuer(tmp_path)
    text = (tmp_path / PUBLIC).read_text()
    (tmp_path / PUBLIC).unlink()
    create_issuer(tmp_path)
    assert (tmp_path / PUBLIC).read_text() == text
    assert issue(tmp_path, 1, sub="u").count(".") == 2


def test_serve_without_an_issuer_says_that_it_refuses_everybody(tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    settings = NO_SERVICES | {"http_port": port, "auth_issuers": ""}
    with running(tmp_path, "serve", settings=settings):
        assert eventually(lambda: fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200)
        assert fetch(f"http://127.0.0.1:{port}/v1/events")[0] == 401
    log = (tmp_path / "serve.log").read_text()
    assert "every_request_is_refused" in log
    assert "AUDIT_TRAIL_AUTH_ISSUERS" in log


def test_serve_finds_the_keys_of_an_issuer_and_takes_its_tokens(tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    with issuing() as issuer:
        settings = NO_SERVICES | {
            "http_port": port,
            "auth_issuers": f"{issuer.url},{ISSUER} {issuer.url}/keys",
        }
        with running(tmp_path, "serve", settings=settings):
            assert eventually(lambda: fetch(f"http://127.0.0.1:{port}/healthz")[0] == 200)
            check(issuer, f"http://127.0.0.1:{port}")


def check(issuer: Issuer, url: str) -> None:
    """An auditor gets in, others don't, and the keys are fetched once."""
    issuers = (issuer.url, ISSUER)
    for name in issuers:
        assert fetch(f"{url}/v1/events?first=1", headers=bearer(iss=name))[0] == 403
        assert fetch(f"{url}/v1/events?first=1", headers=bearer("auditor", iss=name, aud="other"))[0] == 401
        # It was let in: what is missing now is the database.
        assert fetch(f"{url}/v1/events?first=1", headers=bearer("auditor", iss=name))[0] == 503
    assert issuer.asked == len(issuers)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auth_issuers": ("http://issuer.example",)}, "AUTH_ISSUERS"),
        ({"auth_issuers": ("https://a.example https://[",)}, "AUTH_ISSUERS"),
        ({"auth_issuers": ("https://a.example /nowhere/keys.json",)}, "AUTH_ISSUERS"),
        ({"auth_issuers": ("https://a.example", "https://a.example")}, "twice"),
        ({"auth_issuers": ("https://a.example",), "auth_audiences": ()}, "AUTH_AUDIENCES"),
        ({"auth_issuers": ("https://a.example",), "auth_role_map": ("a",)}, "AUTH_ROLE_MAP"),
        ({"auth_issuers": ("https://a.example",), "auth_role_map": ("a=king",)}, "AUTH_ROLE_MAP"),
        ({"api_tokens_file": Path("/nowhere/tokens.toml")}, "/nowhere/tokens.toml"),
    ],
)
def test_a_setting_that_can_not_be_right_is_named_at_the_start(
    settings: dict[str, object], words: str
) -> None:
    def start() -> None:
        loaded = load(**settings)
        authentication(loaded, issued_tokens(loaded))

    with pytest.raises(ConfigurationError, match=words):
        start()


@pytest.mark.parametrize(
    ("role", "option", "value"), [("patient", "--patient", "17"), ("service_owner", "--source", "vitals")]
)
def test_a_token_that_gives_nothing_is_not_made(tmp_path: Path, role: str, option: str, value: str) -> None:
    create_issuer(tmp_path)
    file = tmp_path / "tokens.toml"
    for command in (("token", "--data", tmp_path), ("tokens", "new", "--name", "x", "--file", file)):
        refused = run(*command, "--role", role)
        assert (refused.returncode, option in refused.stderr) == (2, True), refused
        assert run(*command, "--role", role, option, value).returncode == 0
        empty = run(*command, "--role", role, option, value, option, " ")
        assert (empty.returncode, option in empty.stderr) == (2, True), empty
