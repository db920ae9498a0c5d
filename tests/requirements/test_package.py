"""The package: an installation from a wheel has every file that the program reads."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from setuptools import Distribution

ROOT = Path(__file__).parents[2]


def test_every_data_file_of_the_packages_is_in_the_wheel() -> None:
    distribution = Distribution()
    distribution.parse_config_files([ROOT / "setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    packaged = {Path(source, name) for _, source, _, names in build.data_files for name in names}
    packages = {name.split(".")[0] for name in distribution.packages}
    files = [file for package in packages for file in (ROOT / package).rglob("*") if file.is_file()]
    read = {file.relative_to(ROOT) for file in files if file.suffix not in {".py", ".pyc"}}
    assert read - packaged == set()


def test_the_jars_of_apache_kafka_are_named_by_a_file_of_the_package() -> None:
    assert b"kafka_2.13" in resources.files("audit_trail.embedded").joinpath("kafka_pom.xml").read_bytes()
