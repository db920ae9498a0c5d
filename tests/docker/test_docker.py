"""What can be checked of the image and the compose file where no container engine runs."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from audit_trail.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PARTS = {"migrate", "ingest", "project", "serve", "guard"}


def test_there_is_one_service_per_part_besides_kafka_and_postgresql() -> None:
    assert set(SERVICES) == PARTS | {"kafka", "postgres"}


def test_the_images_of_others_are_pinned_to_a_version() -> None:
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.3.1"
    assert SERVICES["postgres"]["image"] == "postgres:18"


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_part_runs_a_command_that_exists(part: str) -> None:
    assert _resolves(SERVICES[part]["command"])


@pytest.mark.parametrize("part", ["ingest", "project", "guard"])
def test_each_health_check_by_command_line_runs_a_command_that_exists(part: str) -> None:
    form, program, *words = SERVICES[part]["healthcheck"]["test"]
    assert (form, program) == ("CMD", "audit-trail")
    assert _resolves(words)


def test_everything_that_stays_up_has_a_health_check() -> None:
    assert "HEALTHCHECK" in DOCKERFILE
    for name in set(SERVICES) - {"migrate", "serve"}:
        assert SERVICES[name]["healthcheck"]["test"]


def test_every_variable_is_a_declared_setting() -> None:
    from audit_trail.settings import Settings  # noqa: PLC0415 - so that the other tests don't depend on it

    declared = {f"AUDIT_TRAIL_{name.upper()}" for name in Settings.model_fields}
    used = {name for part in PARTS for name in SERVICES[part]["environment"]}
    assert used | set(re.findall(r"AUDIT_TRAIL_[A-Z_]+", DOCKERFILE)) <= declared


def test_no_secret_is_written_down() -> None:
    secret = re.compile(r"(?i)([A-Z_]*(?:password|secret|token)[A-Z_]*)[:=][ \t]*(\S*)")
    for path in set((ROOT / "docker").iterdir()) - {ROOT / "docker" / ".env"}:
        for name, value in secret.findall(path.read_text()):
            # Empty, or taken from the environment: `${NAME...}`, and `:?` inside of it.
            assert value == "" or value.startswith(("${", "?")), f"{path.name}: {name}"
    assert "docker/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_ingest_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & SERVICES["ingest"].keys()


def test_only_the_api_is_reachable_from_the_host_and_only_on_loopback() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["serve"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["serve"]["ports"])


def test_the_parts_wait_for_the_migrations() -> None:
    for part in PARTS - {"migrate"}:
        assert SERVICES[part]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


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
