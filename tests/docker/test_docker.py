"""What can be checked of the image and the compose file where no container engine runs."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from audit_trail.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker" / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
PARTS = {"migrate", "ingest", "project", "serve", "guard", "watch", "forward"}


def test_there_is_one_service_per_part_besides_kafka_and_postgresql() -> None:
    assert set(SERVICES) == PARTS | {"kafka", "postgres", "roles"}


def test_the_images_of_others_are_pinned_to_a_version() -> None:
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.3.1"
    for name, service in SERVICES.items():
        assert re.search(r":\d+\.\d+(\.\d+)?(@sha256:[0-9a-f]{64})?$", service["image"]), name
    [base] = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-\S+", base)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert "latest" not in COMPOSE_TEXT + DOCKERFILE


def test_only_the_service_that_makes_the_logins_has_the_superusers() -> None:
    users = {}
    for name, service in SERVICES.items():
        secrets = set(service.get("secrets", []))
        if name not in {"roles", "postgres"}:
            assert not [each for each in secrets if each.startswith("superuser")], name
        url = service.get("environment", {}).get("AUDIT_TRAIL_DATABASE_URL")
        if url:
            parsed = urlsplit(url)
            assert parsed.password is None
            login = str(parsed.username).removeprefix("trail_")
            assert parsed.query == f"passfile=/run/secrets/{login}.pgpass"
            assert {each for each in secrets if each.endswith(".pgpass")} == {f"{login}.pgpass"}
            users[name] = login
    assert users == {each: each for each in PARTS - {"migrate"}} | {"migrate": "owner"}
    assert SERVICES["roles"]["restart"] == "no"
    assert "PGPASSWORD" not in COMPOSE_TEXT
    assert [name for name, service in SERVICES.items() if "log-key" in service.get("secrets", [])] == [
        "ingest"
    ]


def test_every_service_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        assert {"mem_limit", "cpus", "pids_limit"} <= service.keys(), name
        assert "privileged" not in service, name
        if name != "postgres":  # whose image gives up being root by itself
            assert service["user"] in {"${TRAIL_USER:?run docker/make-secrets.sh}", "1000:1000"}, name
            assert "cap_add" not in service, name
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {
        "serve",
        "guard",
        "watch",
        "forward",
    }


def test_the_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    for name in ("make-secrets.sh", "example.env"):
        shutil.copy(ROOT / "docker" / name, tmp_path)

    def make() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", tmp_path / "make-secrets.sh"], capture_output=True, text=True, check=False
        )

    assert make().returncode == 0
    files = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert files.keys() | {"log-key"} == COMPOSE["secrets"].keys()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "secrets").iterdir())
    passwords = {text.strip().rpartition(":")[2] for text in files.values()}
    assert len(passwords) == len(files) - 1  # the superuser's stands in two
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in passwords)
    assert files["ingest.pgpass"].startswith("*:*:*:trail_ingest:")
    owner = (tmp_path / "secrets" / "ingest.pgpass").stat()
    assert owner.st_uid != 0
    assert f"TRAIL_USER={owner.st_uid}:{owner.st_gid}" in (tmp_path / ".env").read_text().splitlines()
    assert make().returncode == 0
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == files
    (tmp_path / "secrets" / "guard.pgpass").unlink()
    (tmp_path / "secrets" / "guard.pgpass").symlink_to(tmp_path / "elsewhere")
    assert make().returncode == 2
    assert not (tmp_path / "elsewhere").exists()


def test_the_logins_get_the_passwords_of_their_files() -> None:
    script = (ROOT / "docker" / "roles.sh").read_text()
    asked = set(re.findall(r":'(\w+)_password'", (ROOT / "docker" / "roles.sql").read_text()))
    assert asked == set(re.findall(r"cut -d: -f5 /run/secrets/(\w+)\.pgpass", script))
    assert {f"{name}.pgpass" for name in asked} < set(SERVICES["roles"]["secrets"])


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_part_runs_a_command_that_exists(part: str) -> None:
    assert _resolves(SERVICES[part]["command"])


@pytest.mark.parametrize("part", sorted(PARTS - {"migrate"}))
def test_each_health_check_by_command_line_runs_a_command_that_exists(part: str) -> None:
    form, program, *words = SERVICES[part]["healthcheck"]["test"]
    assert (form, program) == ("CMD", "audit-trail")
    assert words == ["health", part]
    assert _resolves(words[:1])


def test_everything_that_stays_up_has_a_health_check() -> None:
    assert "HEALTHCHECK" in DOCKERFILE
    for name in set(SERVICES) - {"migrate", "roles"}:
        assert SERVICES[name]["healthcheck"]["test"]


def test_every_variable_is_a_declared_setting() -> None:
    from audit_trail.settings import Settings  # noqa: PLC0415 - so that the other tests don't depend on it

    declared = {f"AUDIT_TRAIL_{name.upper()}" for name in Settings.model_fields}
    used = {name for part in PARTS for name in SERVICES[part]["environment"]}
    assert "AUDIT_TRAIL_DATABASE_URL" in used
    assert used | set(re.findall(r"AUDIT_TRAIL_[A-Z_]+", DOCKERFILE)) <= declared


def test_no_secret_is_written_down() -> None:
    secret = re.compile(r"(?i)([A-Z_]*(?:password|secret|token)[A-Z_]*)[:=][ \t]*(\S*)")
    for name in ("Dockerfile", "compose.yaml", "example.env"):
        for key, value in secret.findall((ROOT / "docker" / name).read_text()):
            # Empty, a file, the name of a secret, or taken from the environment.
            fine = ("${", "?", "/run/secrets/", "[", "{file:", '/secrets"')
            assert value == "" or value.startswith(fine), f"{name}: {key}"
    assert {"docker/.env", "docker/secrets/"} <= set((ROOT / ".gitignore").read_text().splitlines())


def test_ingest_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & SERVICES["ingest"].keys()


def test_only_the_api_is_reachable_from_the_host_and_only_on_loopback() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["serve"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["serve"]["ports"])


def test_the_parts_wait_for_the_migrations() -> None:
    for part in PARTS - {"migrate"}:
        assert SERVICES[part]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"] == {"roles": {"condition": "service_completed_successfully"}}


def test_the_image_runs_the_command_line_as_nobody_special() -> None:
    last = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert 'ENTRYPOINT ["audit-trail"]' in last
    assert int(re.findall(r"^USER (\d+)", last, re.MULTILINE)[-1]) > 0


def test_the_image_has_the_embedded_services_nowhere() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert "embedded" not in config["options"]["install_requires"]
    assert "[embedded" not in DOCKERFILE


def test_every_package_of_the_project_is_let_into_the_image() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {name.split(".")[0] for name in config["options.packages.find"]["include"].split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert packages <= allowed
    assert all((ROOT / name).exists() for name in allowed)


def _resolves(words: list[str]) -> bool:
    """Whether the words name a command of the command line."""
    command: Any = get_command(app)
    for word in words:
        commands = getattr(command, "commands", {})
        if word not in commands:
            return False
        command = commands[word]
    return True
