"""The file of followers: every fault names the field and what to write, and no secret is stored or shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from audit_trail.forwarding.followers import followers
from audit_trail.settings import load
from domain.errors import ConfigurationError
from tests.forwarding.running import DECIDED, made, never

HEAD = f'[followers.siem]\n{DECIDED}start = "now"\nroles = ["auditor"]\n'
LONG = [f"{{ session = {[f'{one}-{other}-' + 'x' * 100 for other in range(40)]} }}" for one in range(40)]
SYSLOG = '[followers.siem.syslog]\nhost = "siem.example"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\xff", r"forwarding\.toml: it is not TOML"),
        ("x = ", "it is not TOML"),
        ("[siem]", r"siem: begin a table with \[followers\.NAME\]"),
        ("followers = 1", "write one table"),
        ("[followers.Siem]", r"followers\.'Siem': a name has small letters"),
        ("[followers.siem]", r"followers\.siem\.decided_by: this field is required"),
        (HEAD, r"followers\.siem: give exactly one receiver: \[followers\.siem\.syslog\], "),
        (
            f'{HEAD}{SYSLOG}[followers.siem.kafka]\ntopic = "t"',
            "give exactly one receiver",
        ),
        (
            f"{HEAD}btach = 7\n{SYSLOG}",
            r"followers\.siem\.btach: there is no such field; did you mean batch\?",
        ),
        (f"{HEAD}{SYSLOG}hots = 7", r"followers\.siem\.syslog\.hots: .* did you mean host\?"),
        (f"{HEAD}{SYSLOG}port = 0", r"followers\.siem\.syslog\.port: expected `int` >= 1"),
        (f'{HEAD}{SYSLOG}port = "x"', r"followers\.siem\.syslog\.port: expected `int`, got `str`"),
        (f'{HEAD}{SYSLOG}body = "xml"', r"followers\.siem\.syslog\.body: not one of the known values"),
        (f'{HEAD}{SYSLOG}cert_file = "/x"', "mutual TLS needs both cert_file and key_file"),
        (f'{HEAD}{SYSLOG}ca_file = "/none"', r"followers\.siem\.syslog\.ca_file: there are no certificates"),
        (
            HEAD.replace('"now"', '"today"') + SYSLOG,
            r"followers\.siem\.start: not one of the known values",
        ),
        (HEAD.replace("n.operator", " ") + SYSLOG, r"followers\.siem\.decided_by: leave out the white space"),
        (HEAD.replace("n.operator", r"n\u0000") + SYSLOG, r"followers\.siem: .*U\+0000"),
        (
            f"{HEAD}filter = {{ or = [{', '.join(LONG)}] }}\n{SYSLOG}",
            r"followers\.siem: the event about it would have \d+ bytes",
        ),
        (HEAD.replace("auditor", "operator") + SYSLOG, r"followers\.siem\.roles: operator sees no events"),
        (HEAD.replace("auditor", "king") + SYSLOG, r"followers\.siem\.roles\[0\]: not one of the known"),
        (HEAD.replace("auditor", "service_owner") + SYSLOG, r"followers\.siem\.sources: service_owner sees"),
        (f'{HEAD}filter = {{ typ = "x" }}\n{SYSLOG}', r"followers\.siem\.filter\.typ"),
        (
            f'{HEAD}filter = {{ type = "record.reed" }}\n{SYSLOG}',
            r"filter\.type: .*did you mean record\.read\?",
        ),
        (
            f'{HEAD.replace("auditor", "analyst")}filter = {{ patient = "Erika Example" }}\n{SYSLOG}',
            r"followers\.siem\.filter: a condition is on a part of events that is hidden",
        ),
        (
            f'{HEAD}[followers.siem.kafka]\ntopic = "audit.events"',
            "the trail itself uses the topic audit.events",
        ),
        (f'{HEAD}[followers.siem.kafka]\ntopic = "audit.tree-heads"', "the trail itself uses the topic"),
        (f'{HEAD}[followers.siem.otlp]\nurl = "ftp://x"', r"followers\.siem\.otlp\.url needs a URL"),
        (f"{HEAD}[followers.siem.otlp]\n", r"followers\.siem\.otlp: give either url or url_file"),
        (
            f'{HEAD}[followers.siem.webhook]\nurl = "https://x/"\nsecret_file = "/none"',
            r"followers\.siem\.webhook\.secret_file names /none, and there is no such file",
        ),
    ],
)
def test_a_fault_names_the_field_and_what_to_write(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        made(tmp_path, text)
    assert str(caught.value).startswith("AUDIT_TRAIL_FORWARDING_FILE: ")


def test_a_file_that_others_may_write_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="AUDIT_TRAIL_FORWARDING_FILE is not set"):
        followers(load(), never)
    file = tmp_path / "followers.toml"
    with pytest.raises(ConfigurationError, match="there is no such file"):
        followers(load(forwarding_file=file), never)
    file.write_text(HEAD + SYSLOG, encoding="utf-8")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="AUDIT_TRAIL_FORWARDING_FILE"):
        followers(load(forwarding_file=file), never)


def test_a_file_without_followers_has_none(tmp_path: Path) -> None:
    assert made(tmp_path, "") == []


def test_an_address_that_is_a_secret_is_stored_as_a_digest_alone(tmp_path: Path) -> None:
    secret, url = tmp_path / "secret", tmp_path / "url"
    secret.write_text(base64.b64encode(b"k" * 32).decode(), encoding="utf-8")
    url.write_text("https://hooks.example/T0KEN?x=1\n", encoding="utf-8")
    [found] = made(
        tmp_path, f'{HEAD}[followers.siem.webhook]\nurl_file = "{url}"\nsecret_file = "{secret}"\n'
    )
    stored = found.configured
    assert stored.destination == "webhook https://hooks.example:443"
    assert stored.configuration["destination"]["url"] == "https://hooks.example:443"
    assert "T0KEN" not in str(stored)
    assert "kkkk" not in str(stored)
    assert stored.configuration["roles"] == ["auditor"]
