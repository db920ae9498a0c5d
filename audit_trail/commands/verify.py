"""`audit-trail verify`: check that the log is what was sealed, signed and published."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from audit_trail.commands.terminal import out, visible
from audit_trail.exit_codes import ExitCode
from domain.errors import ConfigurationError

_SHOWN = 20
"""Findings that are printed. The first one matters most, and a log that is wrong throughout has millions."""


def verify(
    since: Annotated[
        int, typer.Option(min=0, help="Only what is at this position or after it (rounded down to 65,536).")
    ] = 0,
    tree_head: Annotated[
        list[Path] | None,
        typer.Option(
            help="A signed head that was kept elsewhere, or a folder of them: the log has to be its continuation."
            " May be repeated. Without one, the newest in AUDIT_TRAIL_HEADS_FOLDER."
        ),
    ] = None,
    vkey: Annotated[
        list[str] | None,
        typer.Option(
            help="A public key of the log that you trust. May be repeated."
            " Without one, the settings', or those in the database."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that read and hash; 0 is one for each processor.")
    ] = 0,
) -> None:
    """Recompute the log from its rows and compare it with everything signed. Reads only.

    Exits 1 at a finding, and 4 when nothing is wrong but the public key came from the database itself.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from audit_trail.settings import load
    from audit_trail.trust.external_heads import external_heads, published_heads
    from audit_trail.trust.keys import trusted_keys
    from event_store.database import READER
    from event_store.verify.run import verify as run

    settings = load()
    keys, trusted = trusted_keys(settings, vkey or [])
    with Progress(
        TextColumn("verifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("verify", total=None)
        report = run(
            settings.require_database_url(),
            READER,
            keys,
            since=since,
            external=external_heads(tree_head) if tree_head else published_heads(settings, keys),
            jobs=jobs or os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if since > report.size and not report.findings:
        raise ConfigurationError(f"--since {since} is beyond the log, which has {report.size} events")
    for finding in report.findings[:_SHOWN]:
        out.print(visible(str(finding)), markup=False, highlight=False, soft_wrap=True)
    if report.findings:
        more = len(report.findings) - _SHOWN
        out.print(
            f"The log is NOT intact: {len(report.findings)} findings{f', {more} not shown' if more > 0 else ''}."
        )
        raise typer.Exit(ExitCode.FAILED)
    read = f"{report.hashed:,} events" + (f" from position {report.since:,} on" if report.since else "")
    kept = f", {report.external:,} of them kept outside the database" if report.external else ""
    out.print(f"The log is intact: {read} and {report.heads:,} signed heads agree{kept}.", highlight=False)
    out.print(f"size {report.size}, root hash {report.root.hex()}", highlight=False, soft_wrap=True)
    if not trusted:
        out.print(
            "The public key was taken from the database itself. Give the one that you keep: --vkey",
            highlight=False,
        )
        raise typer.Exit(ExitCode.NOT_PROVEN)
