"""The file of targets: what it may hold, and that an error names the line, the field and what to write."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from watcher.secret_values import SecretValue
from watcher.target_file import parse_targets, read_targets
from watcher.targets import BodyEquals, DownRule, HttpCheck, KafkaCheck, PostgresCheck, TlsCheck

WHOLE = """
gap_after: 5m
defaults: {interval: 1m, timeout: 2s, down_after: {failures: 2, of: 5}, up_after: 3}
targets:
  - name: patient-service
    owner: records team
    http:
      url: https://patient.example/health?full=1
      status: [200, 3xx]
      body: {pointer: /status, equals: "on"}
      headers: {X-Site: north, X-Key: {env: KEY_OF_TEST}}
      token: {file: TOKEN}
      restart: {url: https://patient.example/metrics, metric: process_start_time_seconds}
    interval: 500ms
    timeout: 0.5
    down_after: 4
  - {name: portal, service: patient portal, tls: {host: portal.example, days: 30, verify: false}}
  - name: their kafka
    kafka:
      servers: [kafka-1.example:9093]
      topics: [orders]
      security_protocol: SASL_SSL
      sasl_mechanism: SCRAM-SHA-512
      username: watcher
      password: {env: KEY_OF_TEST}
  - {name: our database, postgresql: {}}
  - {name: ldap, tcp: {host: "ldap.example", port: 636}}
"""


def test_a_file_with_every_kind_of_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_TEST", "secret 1")
    token = tmp_path / "token"
    token.write_text("secret 2\n", encoding="utf-8")
    file = tmp_path / "watch.yaml"
    file.write_text(WHOLE.replace("TOKEN", str(token)), encoding="utf-8")
    found = read_targets(file)
    assert found.gap_after == 300
    patient, portal, kafka, database, ldap = found.targets
    assert (patient.interval, patient.timeout, patient.down, patient.up_after) == (
        0.5,
        0.5,
        DownRule(4, 4),
        3,
    )
    assert (ldap.interval, ldap.timeout, ldap.down, ldap.service) == (60, 2, DownRule(2, 5), "ldap")
    check = patient.check
    assert isinstance(check, HttpCheck)
    assert check.statuses == {200, *range(300, 400)}
    assert check.body == BodyEquals("/status", "on")
    assert check.address.path == "/health?full=1"
    assert {
        name: each.read() if isinstance(each, SecretValue) else each for name, each in check.headers.items()
    } == {
        "X-Site": "north",
        "X-Key": "secret 1",
        "Authorization": "Bearer secret 2",
    }
    assert "secret" not in repr(found)
    assert isinstance(portal.check, TlsCheck)
    assert (portal.service, portal.check.port, portal.check.days) == ("patient portal", 443, 30)
    assert isinstance(kafka.check, KafkaCheck)
    assert kafka.check.options["security_protocol"] == "SASL_SSL"
    assert database.check == PostgresCheck()
    assert [each.kind for each in found.targets] == ["http", "tls", "kafka", "postgresql", "tcp"]


HTTP = "targets:\n - name: x\n   http: {url: http://h"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f.yaml: it is empty: list what to watch"),
        ("targets:\n", "f.yaml, line 1: targets: write a list here"),
        ("targets: []", "line 1: targets: name one target at least"),
        ("tragets: []", "line 1: tragets: there is no such field; did you mean targets?"),
        ("targets:\n - nme: x", "line 2: targets[0].nme: there is no such field; did you mean name?"),
        ("targets:\n - tcp: {host: h, port: 1}", "line 2: targets[0]: the field `name` is missing"),
        ("targets:\n - name: x", "line 2: targets[0]: write one of http, tcp, tls, kafka, postgresql"),
        ("targets:\n - {name: x, tcp: {host: h, port: 1}, tls: {host: h}}", "targets[0]: write one of http"),
        ("targets:\n - name: x\n   tcp: {host: h, port: 0}", "line 3: targets[0].tcp.port: write a whole number"),
        ("targets:\n - name: x\n   tcp: {host: a..b, port: 1}", "tcp.host: write a host name or an address"),
        ("targets:\n - name: x\n   tcp: {host: http://h, port: 1}", "tcp.host: write a host name or an address"),
        ("targets:\n - name:\n   tcp: {host: h, port: 1}", "line 2: targets[0].name: this has no value: write a text"),
        ("targets:\n - name: a\n   name: b", "line 3: targets[0].name: this field is written twice"),
        (HTTP + "}\n   interval: 10", ""),
        (HTTP + "}\n   interval: 10 minutes", "line 4: targets[0].interval: write a time from 0.5s to 86400s"),
        (HTTP + "}\n   interval: 1s\n   timeout: 2s", "line 5: targets[0].timeout: write a time that is not longer"),
        (HTTP + "}\n   down_after: 0", "line 4: targets[0].down_after: write a whole number from 1 to 100"),
        (HTTP + "}\n   down_after: {failures: 3, of: 2}", "down_after.failures: write a whole number from 1 to 2"),
        (HTTP + ", status: 700}", "http.status: write a status such as 200, or a class such as 2xx"),
        (HTTP + ", body: {pointer: status, equals: up}}", "body.pointer: write a JSON Pointer (RFC 6901)"),
        (HTTP + ", body: {pointer: /a}}", "http.body: write either `contains`, or both"),
        (HTTP + ", body: {pointer: /a, equals: 2026-03-01}}", "a text that looks like a date needs quotes"),
        (HTTP + ", body: {pointer: /a, equals: on}}", "YAML reads this as a truth value or another number"),
        (HTTP + ", body: {pointer: /a, equals: 1:30}}", "YAML reads this as a truth value or another number"),
        (HTTP + ", body: {pointer: /a, equals: 1.5}}", ""),
        (HTTP + ", token: abc}", "http.token: a secret does not stand in this file"),
        (HTTP + ", token: {env: NO_SUCH_VARIABLE}}", "the variable NO_SUCH_VARIABLE is not set"),
        (HTTP + ", token: {file: /no/such/file}}", "http.token: the file /no/such/file can't be read"),
        (HTTP + ", ca_file: /x.pem}", "http.ca_file: this is for https"),
        (HTTP + ", restart: {}}", "http.restart: write one of pointer, header, metric"),
        ("targets:\n - name: x\n   http: {url: ftp://h}", "http.url: this needs a URL that begins with https://"),
        ("targets:\n - name: x\n   http: {url: http://u:p@h}", "http.url: this needs a URL without a user name"),
        ("targets:\n - name: x\n   kafka: {username: u}", "kafka.username: this is for brokers of others"),
        ("targets:\n - name: x\n   postgresql: {url: postgresql://u:p@h/d}", "a password does not stand in this file"),
        ("targets:\n - &a {name: x, tcp: {host: h, port: 1}}\n - *a", "line 3: references (*name) are not read"),
        ("targets: !!python/name:os.system x", "line 1: remove the tag"),
        ("targets: [a", "f.yaml, line "),
        ("[" * 1000, "fields are nested more than 20 deep"),
        ("targets:\n" + " - {name: x, tcp: {host: h, port: 1}}\n" * 2, "line 3: targets[1]: the name x is taken"),
    ],
)  # fmt: skip
def test_an_error_says_where_it_is_and_what_to_write(text: str, says: str) -> None:
    if not says:
        parse_targets(text, "f.yaml")
        return
    with pytest.raises(ConfigurationError) as caught:
        parse_targets(text, "f.yaml")
    assert says in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_a_file_of_many_fields_is_read_in_time_that_grows_with_it() -> None:
    headers = ", ".join(f"h{number}: v" for number in range(30_000))
    begin = time.process_time()
    [target] = parse_targets(f"{HTTP}, headers: {{{headers}}}}}", "f.yaml").targets
    assert isinstance(target.check, HttpCheck)
    assert len(target.check.headers) == 30_000
    assert time.process_time() - begin < 10


def test_a_file_that_every_user_may_write_to_is_refused(tmp_path: Path) -> None:
    """It names files of secrets, and where they are sent."""
    file = tmp_path / "watch.yaml"
    file.write_text("targets: [{name: x, tcp: {host: h, port: 1}}]", encoding="utf-8")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"watch\.yaml"):
        read_targets(file)
