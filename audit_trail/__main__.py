"""`python -m audit_trail`, and the program `audit-trail`."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. Ctrl-C while its modules are loaded ends it without a word, as SIGTERM does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from audit_trail.cli import main as run  # noqa: PLC0415 - all that takes time is loaded here

    run()


if __name__ == "__main__":
    main()
