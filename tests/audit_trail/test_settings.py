"""Wrong settings are refused when they are loaded, in one style, with their name and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings, load
from domain.errors import ConfigurationError
from tests.signing import KEY

HIDDEN = "hidden-word"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("database_pool_size", "many", "give a whole number"),
        ("database_pool_size", "0", "give 1 or more"),
        ("database_pool_size", "101", "give 100 or less"),
        ("publish_timeout_seconds", "0", "give a number greater than 0"),
        ("publish_timeout_seconds", "nan", "give"),
        ("verify_all_hours", "daily", "give a number"),
        ("public_log", "perhaps", "give true or false"),
        ("kafka_assignment", "some", "give 'group' or 'static'"),
        ("log_level", "loud", "give 'debug', 'info', 'warning' or 'error'"),
        ("kafka_group_id", "", "give at least 1 characters"),
        ("kafka_offset_loss_accepted_by", "a" * 257, "give at most 256 characters"),
        ("trusted_proxies", "10.0.0.0/8, proxy", "'proxy' is no address"),
        ("kafka_bootstrap_servers", "kafka", "'kafka' is not host:port"),
        ("kafka_bootstrap_servers", "kafka:9092,kafka:http", "'kafka:http' is not host:port"),
        ("log_vkeys", "no key", "is no public key"),
        ("witnesses", "garbage", "each entry is a vkey, a space, and a URL"),
        pytest.param(
            "witnesses", f"{KEY.verifier.encode()} ftp://w.example", "https:// or http://", id="no URL"
        ),
        ("heads_webhook", HIDDEN, "https:// or http://"),
        ("allowed_origins", "portal.example", "is no origin"),
        ("allowed_origins", "*", "is no origin"),
        ("allowed_origins", "https://a.example,https://b.example/", "'https://b.example/' is no origin"),
        ("allowed_origins", "https://a.example:x", "is no origin"),
        ("kafka_topics", "audit events", "is no name of a topic"),
        ("heads_topic", "a b", "is no name of a topic"),
        ("heads_webhook", f"https://ann:{HIDDEN}@heads.example", "without a user name or password"),
        ("auth_role_map", "doctor", "is not ISSUERS-NAME=ROLE"),
        ("auth_role_map", "doctor=king", "with a role of"),
    ],
)
def test_a_wrong_value_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), value)
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value).startswith(f"{PREFIX}{name.upper()}: ")
    assert says in str(refused.value)
    assert HIDDEN not in str(refused.value)


def refusal() -> str:
    try:
        load()
    except ConfigurationError as exc:
        return str(exc)
    return ""


def test_every_setting_refuses_garbage_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "\x01 garbage \x02")
        said = refusal()
        assert not said or said.startswith(f"{PREFIX}{name.upper()}: ")
        assert "Input should" not in said
        assert "it is not valid" not in said
        monkeypatch.delenv(PREFIX + name.upper())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("HTTP_PROT", "did you mean AUDIT_TRAIL_HTTP_PORT?"),
        ("KAFKA_BOOTSTRAP_SERVER", "did you mean AUDIT_TRAIL_KAFKA_BOOTSTRAP_SERVERS?"),
        ("QUITE_ANOTHER_THING", "is no setting: see `audit-trail settings`"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv(PREFIX + name, "1")
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value).startswith(f"{PREFIX}{name} is no setting")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("http_prot = 8000", "http_prot is no setting: see `audit-trail settings`; did you mean http_port?"),
        ('http_port = "many"', "AUDIT_TRAIL_HTTP_PORT: give a whole number"),
        ("kafka_topics = 3", "AUDIT_TRAIL_KAFKA_TOPICS: give a list"),
        ("log_key_file = 3", "AUDIT_TRAIL_LOG_KEY_FILE: give a path"),
        ("database_url = 3", "AUDIT_TRAIL_DATABASE_URL: give a text"),
        ("http_port = ", "AUDIT_TRAIL_SETTINGS_FILE"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, says: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(line + "\n")
    monkeypatch.setenv(f"{PREFIX}SETTINGS_FILE", str(file))
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert says in str(refused.value)
