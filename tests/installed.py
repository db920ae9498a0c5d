"""Programs that some tests run when they are installed. Without one, the summary names the tests that were not run."""

from __future__ import annotations

import os
import shutil

_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers; the PATH of a user often lacks them."""


def installed(program: str) -> str | None:
    """The path of `program`, None when it is not installed."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM)))
