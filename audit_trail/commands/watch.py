"""`audit-trail watch`: check services, ports, certificates, brokers and databases, and report what changes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from audit_trail.runtime.signals import WATCH_STOP_SECONDS, on_stop_within


def watch(
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Check each target once, print what was found, and end: nothing is stored or published.",
        ),
    ] = False,
) -> None:
    """Check the targets in AUDIT_TRAIL_WATCH_FILE again and again, and report failures and recoveries to the trail.

    It runs until SIGTERM. A second process on the same database is a standby. With --once it exits 1 if a check failed.
    """
    if once:
        _try_all()
        return
    from audit_trail.runtime.start import long_running
    from audit_trail.watching.process import watch as run

    run(*long_running("watch"), partial(on_stop_within, WATCH_STOP_SECONDS))


def _try_all() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from rich.table import Table

    from audit_trail.commands.terminal import out, plain
    from audit_trail.settings import load
    from audit_trail.watching.process import examiner, watched

    settings = load()
    targets, examine = watched(settings).targets, examiner(settings)
    with ThreadPoolExecutor(settings.watch_checks_at_once) as threads:
        findings = list(threads.map(examine, targets))
    table = Table("target", "check", "result", "details", box=None)
    for each, finding in zip(targets, findings, strict=True):
        error, told = finding.error, finding.incarnation
        details = f"start time or boot id: {told}" if told else ""
        cells = ("ok", details) if error is None else (error.kind.value, error.reason)
        table.add_row(*map(plain, (each.name, each.kind, *cells)))
    out.print(table)
    if any(finding.error for finding in findings):
        raise typer.Exit(1)
