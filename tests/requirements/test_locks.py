"""The lock files: complete, with hashes, of one mind with setup.cfg, and free of addresses."""

from __future__ import annotations

import configparser
import json
import re
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from requirements.licences import CLIENTS, licences, problems, problems_of_npm
from requirements.lock import EXTRAS, FOLDER, ROOT, build_requirements

NAMES = ["all", "build", *EXTRAS]
ENTRY = re.compile(
    r"(?m)^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>\S+)(?: ; .+?)?"
    r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)


def text(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text("utf-8")


def locked(name: str) -> dict[str, Version]:
    """The versions of a lock file, by the normal form of the names."""
    return {canonicalize_name(each["name"]): Version(each["version"]) for each in ENTRY.finditer(text(name))}


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    parts = [
        config["options"]["install_requires"],
        *(config["options.extras_require"][each] for each in extras),
    ]
    lines = [line for part in parts for line in part.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", NAMES)
def test_every_package_has_one_version_and_its_hashes(name: str) -> None:
    lines = [line for line in text(name).splitlines() if "==" in line]
    assert len(lines) == len(locked(name)) > 0
    left = re.sub(r"(?m)^ +# .*\n", "", ENTRY.sub("", text(name)))
    assert left.strip() == ""


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_file_fits_setup_cfg(name: str) -> None:
    versions = locked(name)
    for each in wanted(EXTRAS[name]):
        assert each.specifier.contains(versions[canonicalize_name(each.name)]), f"{each}: run `make lock`"


def test_the_lock_files_agree() -> None:
    everything = locked("all")
    for name in EXTRAS:
        assert locked(name).items() <= everything.items(), f"{name}: run `make lock`"
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    for each in wanted(tuple(config["options.extras_require"])):
        assert each.specifier.contains(everything[canonicalize_name(each.name)]), f"{each}: run `make lock`"


def test_the_build_backend_is_locked() -> None:
    versions = locked("build")
    for each in map(Requirement, build_requirements()):
        assert each.specifier.contains(versions[canonicalize_name(each.name)])


def test_no_lock_file_names_a_server() -> None:
    for name in NAMES:
        assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host", text(name)), name


def test_everything_that_installs_asks_for_hashes() -> None:
    for file in ("Makefile", "docker/Dockerfile"):
        for command in re.findall(r"pip install(?:\\\n|[^\n])*", (ROOT / file).read_text()):
            assert "--require-hashes" in command or "--no-deps" in command, command


class Package(Distribution):
    """A distribution with the metadata that a test gives it."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self._message = Message()
        for name, value in (("Name", "package"), *fields):
            self._message[name] = value

    @property
    def metadata(self) -> Any:
        return self._message

    def read_text(self, filename: str) -> str | None:
        raise NotImplementedError(filename)

    def locate_file(self, path: Any) -> Path:
        raise NotImplementedError(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("License-Expression", "GPL-3.0-or-later"),
        ("License-Expression", "MIT AND AGPL-3.0-only"),
        ("License-Expression", "BUSL-1.1"),
        ("License-Expression", "SSPL-1.0"),
        ("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
        ("Classifier", "License :: OSI Approved :: GNU Affero General Public License v3"),
        ("License", "GPL"),
        ("License", "GPLv2+"),
        ("License", "Business Source License 1.1"),
        ("Summary", "names no licence"),
    ],
)
def test_a_licence_that_binds_others_or_none_at_all_is_refused(field: str, value: str) -> None:
    [line] = problems([Package((field, value))])
    assert line.startswith("package: its ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("License-Expression", "GPL-2.0-only OR MIT"),
        ("License-Expression", "LGPL-3.0-or-later"),
        ("Classifier", "License :: OSI Approved :: GNU Library or Lesser General Public License (LGPL)"),
        ("Classifier", "License :: OSI Approved :: GNU Lesser General Public License v2 or later (LGPLv2+)"),
        ("License", "MPL-2.0"),
    ],
)
def test_a_licence_that_lets_others_link_is_fine(field: str, value: str) -> None:
    assert list(problems([Package((field, value))])) == []


@pytest.mark.parametrize(
    "about",
    [{"license": "AGPL-3.0-only"}, {"license": "(MIT AND GPL-2.0)"}, {"license": {"type": "MIT"}}, {}],
)
def test_the_same_is_refused_of_a_package_of_npm(about: dict[str, Any], tmp_path: Path) -> None:
    for name, fields in (("refused", about), ("fine", {"license": "(GPL-3.0 OR MIT)"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "package.json").write_text(json.dumps({"name": name, **fields}))
    (tmp_path / "package-lock.json").write_text('{"packages": {"": {}, "refused": {}, "fine": {}}}')
    [line] = problems_of_npm(tmp_path)
    assert line.startswith("refused: its ")


def test_the_clients_of_the_tests_have_one_version_and_their_hashes() -> None:
    folder = ROOT / "tests" / "clients"
    wanted = json.loads((folder / "package.json").read_bytes())["dependencies"]
    lock = json.loads((folder / "package-lock.json").read_bytes())["packages"]
    assert lock.pop("")["dependencies"] == wanted
    for name, version in wanted.items():
        assert lock[f"node_modules/{name}"]["version"] == version.rpartition("@")[2]
    for name, package in lock.items():
        assert package["integrity"].startswith("sha512-"), name
        assert not {"resolved", "hasInstallScript"} & package.keys(), name


def test_what_is_installed_here_may_be_shipped() -> None:
    assert list(problems_of_npm(CLIENTS)) == []
    assert list(problems(distributions())) == []
    assert any(licences(each) for each in distributions())
