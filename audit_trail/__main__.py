"""`python -m audit_trail`, and the program `audit-trail`."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line. SIGTERM or Ctrl-C while its modules are loaded ends it without a word, with 143 or 130.

    That holds for process 1 of a container too, for which the kernel ignores a signal without a handler.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os._exit(128 + number))
    from audit_trail.cli import main as run  # noqa: PLC0415 - all that takes time is loaded here

    run()


if __name__ == "__main__":
    main()
