"""Refuse a licence that this project can't ship with, among everything that is installed. `make check` runs it.

It reads the packages' own metadata and asks no service. GPL and AGPL would bind whoever distributes Audit Trail, and
the "source available" licences forbid uses of it; LGPL (psycopg2) and MPL allow to be linked to. The packages of npm,
which only the tests use, follow the same rule.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

REFUSED = re.compile(
    r"(?i)\bA?GPL|(?<!lesser )general public license|affero|\bBUSL|\bBSL-?1\.1|business source"
    r"|\bSSPL|server side public|commons.clause|elastic.license|polyform"
)
KNOWN: dict[str, str] = {"axe-playwright-python": "MIT, and axe-core in it MPL-2.0"}
"""Packages whose metadata names no licence, with the licence that their source names."""
CLIENTS = Path(sys.prefix) / "clients"
"""Where the packages of tests/clients/package-lock.json are installed."""
_LONGEST = 200
"""Characters of a licence's name. Some packages put the whole text in that field, which may mention other licences."""


def main() -> int:
    """Print what is wrong; the exit code."""
    wrong = [*problems(distributions()), *problems_of_npm(CLIENTS)]
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    return 1 if wrong else 0


def problems(installed: Iterable[Distribution]) -> Iterator[str]:
    """A line for each package whose licence is refused, or unknown."""
    for package in installed:
        name = package.metadata["Name"]
        named = licences(package)
        if not named and name not in KNOWN:
            yield f"{name}: its metadata names no licence; read its source, and add it to KNOWN"
        if named and not any(allowed(licence) for licence in named[:1]):
            yield f"{name}: its licence is {named[0]}, which this project can't ship with"


def problems_of_npm(folder: Path) -> Iterator[str]:
    """A line for each package of npm, installed below `folder`, whose licence is refused, or unknown."""
    packages = json.loads((folder / "package-lock.json").read_bytes())["packages"]
    for path in filter(None, packages):
        about = json.loads((folder / path / "package.json").read_bytes())
        licence = about.get("license")
        if not isinstance(licence, str):
            yield f"{about['name']}: its package.json names no licence"
        elif not allowed(licence.strip("()")):
            yield f"{about['name']}: its licence is {licence}, which this project can't ship with"


def licences(package: Distribution) -> list[str]:
    """What the metadata says: the expression (PEP 639), else classifiers as one, else the older free text."""
    data = package.metadata
    if data["License-Expression"]:
        return [data["License-Expression"]]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in data.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    if classifiers:
        return [" AND ".join(classifiers)]
    text = (data["License"] or "").strip()
    return [text[:_LONGEST]] if text else []


def allowed(licence: str) -> bool:
    """Whether one of the alternatives has nothing that is refused in it."""
    return any(not REFUSED.search(each) for each in re.split(r"(?i)\s+OR\s+", licence))


if __name__ == "__main__":
    sys.exit(main())
