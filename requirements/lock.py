"""Write the lock files: exact versions with the SHA-256 of every file that may be installed. `make lock` runs it.

`all.txt` is one resolution of everything in setup.cfg, for Python 3.11 and later on Linux and macOS; the other files
are parts of it. Versions that still fit stay as they are; `make lock ARGS=--upgrade` takes the newest.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
EXTRAS = {
    "runtime": (),
    "export": ("export",),
    "tracing": ("tracing",),
    "demo": ("embedded",),
    "development": ("embedded", "test", "check"),
    "audit": ("embedded", "audit"),
    "bench": ("embedded", "test", "bench"),
    "lock": ("lock",),
}
"""The lock files, and the extras of setup.cfg that each has. `build` has the build backend of pyproject.toml."""


def main(options: Sequence[str]) -> None:
    """Write all files; `options` go to uv, for `all.txt` alone, which the others follow."""
    _compile("all", ["setup.cfg", "--all-extras", *options])
    for name, extras in EXTRAS.items():
        _compile(name, ["setup.cfg", *(f"--extra={extra}" for extra in extras), *_AS_ALL])
    _compile("build", ["-", *_AS_ALL], "\n".join(build_requirements()))


def build_requirements() -> list[str]:
    """What pyproject.toml needs to build the project."""
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    return found


_AS_ALL = ("--constraint", str(FOLDER / "all.txt"), "--no-annotate")


def _compile(name: str, arguments: Sequence[str], text: str = "") -> None:
    subprocess.run(  # noqa: S603 - words of this file and of whoever calls it
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"),
            *("--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--output-file", str(FOLDER / f"{name}.txt"), *arguments),
        ],
        cwd=ROOT,
        input=text,
        text=True,
        check=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
