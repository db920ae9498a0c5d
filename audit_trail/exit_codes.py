"""The exit codes of every command: each with its meaning, and with the errors that end a command with it.

The reference page is made from this table.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Self

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    LogInconsistentError,
    ProofError,
    RejectedError,
    UnavailableError,
    UnstorableError,
)


@unique
class ExitCode(IntEnum):
    """An exit code, its meaning, and the errors that stand for it."""

    meaning: str
    errors: tuple[type[AuditTrailError], ...]

    DONE = 0, "done"
    FAILED = (
        1,
        (
            "the answer is no: the content of a file was refused, nothing was found, the state of a thing does not"
            " allow it, or `verify`, `projections verify` or `projections rebuild` found something wrong"
        ),
        RejectedError,
        ProofError,
        UnstorableError,
    )
    MISCONFIGURED = (
        2,
        "a setting, an option or an argument has to be changed",
        ConfigurationError,
    )
    INCONSISTENT = 3, "the log is inconsistent, and nothing is written", LogInconsistentError
    NOT_PROVEN = (
        4,
        (
            "`verify`, `evidence`: nothing is wrong, but the public key came from the database itself;"
            " set AUDIT_TRAIL_LOG_VKEYS, or give `verify` the key with --vkey."
            " `evidence`: or the kit's tree head does not satisfy the witness policy"
        ),
    )
    DEFECT = 70, "a defect of the program: standard error names it, without the values that it worked on"
    TRY_AGAIN = 75, "a service is away: try again", FencedError, UnavailableError
    INTERRUPTED = 130, "interrupted by Ctrl-C"

    def __new__(cls, code: int, meaning: str, *errors: type[AuditTrailError]) -> Self:
        """A member whose value is its code."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.errors = errors
        return member

    @classmethod
    def of(cls, error: AuditTrailError) -> ExitCode:
        """The exit code of a command that ends with `error`."""
        return next((code for code in cls if isinstance(error, code.errors)), cls.FAILED)


SIGNALLED = 128
"""Plus the number of the signal: the exit code of a process that a signal has ended."""
SIGNALLED_MEANING = (
    "signal n (SIGTERM: 143) interrupted a command, or ended a process that did not stop in time, or was still loading;"
    " nothing is lost"
)
