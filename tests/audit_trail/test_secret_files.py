"""Secrets in files that variables name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit_trail.secret_files import file_variable
from audit_trail.settings import load, secret_settings
from domain.errors import ConfigurationError
from tests.audit_trail.programs import run

URL = "postgresql://trail_ingest:s3cret@db/audit_trail"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("AUDIT_TRAIL_"):
            monkeypatch.delenv(name)


def written(folder: Path, data: bytes) -> Path:
    file = folder / "secret"
    file.write_bytes(data)
    file.chmod(0o600)
    return file


def test_every_secret_can_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(secret_settings()) == 7
    for name in secret_settings():
        value = f"https://example.com/{name}"
        monkeypatch.setenv(file_variable(name), str(written(tmp_path, f"{value}\n".encode())))
        assert getattr(load(), name).get_secret_value() == value
        monkeypatch.delenv(file_variable(name))


def test_a_file_goes_before_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('database_url = "postgresql://other/"', encoding="utf-8")
    monkeypatch.setenv("AUDIT_TRAIL_SETTINGS_FILE", str(settings))
    monkeypatch.setenv("AUDIT_TRAIL_DATABASE_URL_FILE", str(written(tmp_path, URL.encode() + b"\r\n")))
    assert load().require_database_url() == URL


def test_links_of_a_container_platform_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "..2026").mkdir()
    written(tmp_path / "..2026", URL.encode())
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "secret").symlink_to("..data/secret")
    monkeypatch.setenv("AUDIT_TRAIL_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert load().require_database_url() == URL


def test_both_variables_of_a_secret_are_refused(tmp_path: Path) -> None:
    settings = {"database_url": URL, "database_url_file": str(written(tmp_path, URL.encode()))}
    ended = run("migrate", settings=settings)
    assert ended.returncode == 2
    assert "AUDIT_TRAIL_DATABASE_URL and AUDIT_TRAIL_DATABASE_URL_FILE are both set" in ended.stderr
    assert "s3cret" not in ended.stderr


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "there is no such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (64 * 1024 + 1), "65536"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None, says: str
) -> None:
    file = tmp_path / "absent" if data is None else written(tmp_path, data)
    monkeypatch.setenv("AUDIT_TRAIL_KAFKA_SASL_PASSWORD_FILE", str(file))
    with pytest.raises(ConfigurationError, match=f"AUDIT_TRAIL_KAFKA_SASL_PASSWORD_FILE.*{says}"):
        load()


def test_a_pipe_and_a_file_that_others_can_write_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    open_file = written(tmp_path, URL.encode())
    open_file.chmod(0o666)
    for file, says in ((tmp_path / "pipe", "is a pipe"), (open_file, "is open to others")):
        monkeypatch.setenv("AUDIT_TRAIL_DATABASE_URL_FILE", str(file))
        with pytest.raises(ConfigurationError, match=says):
            load()


def test_a_setting_that_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_TRAIL_HTTP_PORT_FILE", "/etc/hostname")
    with pytest.raises(ConfigurationError, match="AUDIT_TRAIL_HTTP_PORT_FILE is no setting"):
        load()
