"""The command line. Each long-running part is a process of its own; `up` and `demo` run them together.

A command is a function of a module in `audit_trail.commands`, added here. It imports what it needs when it runs, so
that every command starts fast. `audit_trail.exit_codes` lists how a command may end.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from audit_trail.commands import (
    access,
    context,
    database,
    dead_letters,
    detect,
    export,
    findings,
    forward,
    graphql,
    keys,
    local_stack,
    offsets,
    parts,
    review,
    settings,
    tokens,
)
from audit_trail.commands.evidence import evidence
from audit_trail.commands.health import health
from audit_trail.commands.projections import group as projections
from audit_trail.commands.publish import publish
from audit_trail.commands.verify import verify
from audit_trail.commands.watch import watch
from audit_trail.commands.witness import witness
from audit_trail.exit_codes import SIGNALLED, ExitCode
from audit_trail.runtime.signals import Interruption, interrupted_by_signals, on_stop
from domain.errors import AuditTrailError, origin

_LIBRARYS_PREFIX = "Value error, "
"""What typer begins its message about a choice with."""

app = typer.Typer(
    name="audit-trail",
    help="The tamper-evident record of who did what to which patient, device and service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(context.app, name="context")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(detect.app, name="detect")
app.add_typer(findings.app, name="findings")
app.add_typer(forward.app, name="forward")
app.add_typer(offsets.app, name="offsets")
app.add_typer(projections.app, name="projections")
app.add_typer(keys.app, name="keys")
app.add_typer(review.app, name="review")
app.add_typer(graphql.app, name="graphql")
app.add_typer(tokens.app, name="tokens")
app.add_typer(access.app, name="access")
app.command()(tokens.token)
app.command()(verify)
app.command()(witness)
app.command()(evidence)
app.command()(health)
app.add_typer(export.app)  # no name: a command of its own
app.command()(local_stack.demo)
app.command()(local_stack.up)
app.command()(database.migrate)
app.command()(parts.ingest)
app.command()(parts.project)
app.command()(parts.guard)
app.command()(parts.serve)
app.command()(watch)
app.command()(publish)
app.command("settings")(settings.show)


def main() -> NoReturn:
    """Run the command of this process, until it ends or a signal ends it."""
    interrupted_by_signals()
    try:
        code = run()
    finally:
        # The process ends, and waits for its threads. A signal must not interrupt that with a traceback.
        on_stop(lambda: None)
        # CPython ends the process by SIGINT and ignores the exit code when an interrupt came while it executed a
        # string, which the making of a dataclass does. It forgets that when it executes another string.
        exec("")  # noqa: S102  # nosec B102
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one for each kind of end
    """Run a command, that of this process by default, and return its exit code.

    An error of ours becomes one line on standard error, and the exit code that stands for it.
    """
    try:
        code = app(arguments, standalone_mode=False)
    except AuditTrailError as exc:
        return _failed(str(exc), ExitCode.of(exc))
    except (typer.Abort, KeyboardInterrupt):
        return SIGNALLED + Interruption.number
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the pipe has gone
        return ExitCode.FAILED
    except OSError as exc:
        return _failed(
            f"{exc.strerror or type(exc).__name__}{f': {exc.filename}' if exc.filename else ''}",
            ExitCode.MISCONFIGURED,
        )
    except typer._click.exceptions.ClickException as exc:
        exc.message = exc.message.replace(_LIBRARYS_PREFIX, "", 1)
        exc.show()
        return exc.exit_code
    except Exception as exc:  # noqa: BLE001 - the last place: the process ends, and says with which defect
        places = ", ".join(origin(exc)["at"])
        return _failed(f"a defect, please report it: {type(exc).__name__} ({places})", ExitCode.DEFECT)
    if code == ExitCode.INTERRUPTED:  # typer's code for every KeyboardInterrupt
        return SIGNALLED + Interruption.number
    return code if isinstance(code, int) else ExitCode.DONE


def _failed(message: str, code: ExitCode) -> ExitCode:
    sys.stderr.write(f"audit-trail: {message}\n")
    return code
