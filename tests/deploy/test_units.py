"""The systemd units: systemd accepts them, and they agree with what the program documents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from audit_trail.cli import app
from audit_trail.exit_codes import ExitCode
from audit_trail.secret_files import file_variable
from audit_trail.settings import Settings, secret_settings
from tests.installed import installed

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
PARTS = ("ingest", "project", "guard", "serve", "watch", "forward")
UNITS = (*PARTS, "migrate", "witness")


def unit(name: str) -> dict[str, list[str]]:
    """The values of each directive, whatever its section."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / f"audit-trail-{name}.service").read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_there_is_one_unit_for_each_part() -> None:
    assert sorted(FOLDER.glob("*")) == sorted(FOLDER / f"audit-trail-{name}.service" for name in UNITS)
    for name in UNITS:
        [command] = unit(name)["ExecStart"]
        program, *words = command.split()
        assert (program, words[0]) == ("/opt/audit-trail/bin/audit-trail", name)
        given = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        known: Any = get_command(app)
        options = {option for each in known.commands[name].params for option in each.opts if each.required}
        assert given == options


@pytest.mark.parametrize("part", [*PARTS, "witness"])
def test_a_part_is_restarted_unless_an_operator_has_to_act(part: str) -> None:
    found = unit(part)
    assert found["Restart"] == ["on-failure"]
    assert found["StartLimitIntervalSec"] == ["0"]
    prevented = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert prevented == {ExitCode.MISCONFIGURED, ExitCode.INCONSISTENT}
    assert int(found["TimeoutStopSec"][0]) > 30


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_hands_over_secrets_as_credentials_and_sets_only_what_exists(name: str) -> None:
    found = unit(name)
    credentials = {each.partition(":")[0] for each in found["LoadCredential"]}
    files = {f"AUDIT_TRAIL_{each.upper()}" for each in Settings.model_fields}
    files |= set(map(file_variable, secret_settings()))
    text = (FOLDER / f"audit-trail-{name}.service").read_text(encoding="utf-8")
    for variable, value in re.findall(r"^(?:# )?Environment=(AUDIT_TRAIL_\w+)=(.*)$", text, re.MULTILINE):
        assert variable in files, variable
        if value.startswith("%d/") and f"# Environment={variable}" not in text:
            assert value.removeprefix("%d/") in credentials
    assert ("log-key" in credentials) == (name == "ingest")
    assert found["DynamicUser"] == found["NoNewPrivileges"] == ["yes"]


@pytest.mark.needs_program("systemd-analyze")
def test_systemd_accepts_the_units_and_finds_little_exposed(tmp_path: Path) -> None:
    analyze = installed("systemd-analyze")
    assert analyze
    files: list[Path] = []
    for name in UNITS:
        text = (FOLDER / f"audit-trail-{name}.service").read_text(encoding="utf-8")
        files.append(tmp_path / f"audit-trail-{name}.service")
        files[-1].write_text(text.replace("/opt/audit-trail/bin/audit-trail", "/bin/true"), encoding="utf-8")
    verified = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    for file in files:
        command = [analyze, "security", "--offline=true", "--threshold=20", str(file)]  # tenths, of 100
        rated = subprocess.run(command, capture_output=True, text=True, check=False)
        assert rated.returncode == 0, rated.stdout[-300:]
