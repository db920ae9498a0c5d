"""`audit-trail evidence`: chosen events with everything that proves them, for someone without this program."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from audit_trail.commands.filter_options import takes_filter
from audit_trail.commands.terminal import Unrecorded, quoted, wrong
from audit_trail.exit_codes import ExitCode
from domain.errors import ConfigurationError, Reason, RejectedError
from queries.filters.checks import check_filter
from queries.filters.event_filter import MAX_PAGE, EventFilter, PageRequest

if TYPE_CHECKING:
    from event_store.evidence.kit import Selection
    from queries.read_models import ReadModels

_SELECTION_NAMES = {"occurred_from": "from", "occurred_until": "to"}
"""The names in a kit's manifest that differ from those in REST."""


@takes_filter(occurred_from="--from", occurred_until="--to")
def evidence(
    out: Annotated[Path, typer.Option(help="The folder to write, or a file that ends in .zip.")],
    event: Annotated[
        list[str] | None, typer.Option(help="The event with this id; may be repeated. No other condition.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the kit that is there.")] = False,
    *,
    filter: EventFilter,
    unrecorded: Unrecorded = None,
) -> None:
    """Write an evidence kit: events, proofs, the signed tree head and a program that checks them, in one folder or zip.

    All conditions must hold; of an option that is repeated, one value must match. The filters are those of the API. The
    kit holds personal data, and that it was written is put on record, through Kafka.
    """
    from importlib.metadata import version

    from rich.console import Console

    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from audit_trail.trust.keys import trusted_keys, witness_policy
    from event_store.evidence.kit import write_kit
    from event_store.evidence.storage import require_free
    from queries.read_models import ReadModels

    ids = event or []
    if bool(filter.given()) == bool(ids):
        raise ConfigurationError("say which events: --patient, --user and other conditions, or --event alone")
    check_filter(filter)
    require_free(out, force=force)
    settings = load()
    keys, trusted = trusted_keys(settings)
    with (
        closing(open_database(settings, Pool.READER)) as database,
        Console(stderr=True).status("Writing the evidence kit"),  # shows on a terminal alone
    ):
        models = ReadModels(database)
        patients: dict[str, None] = {}
        chosen = _by_id(models, ids, patients) if ids else _by_filter(models, filter, patients)
        with CommandRecord(settings, "evidence", chosen.query, unrecorded) as record:
            record.showing(len(chosen.positions), tuple(patients))
        written = write_kit(
            database,
            chosen,
            out,
            program=f"audit-trail {version('audit-trail')}",
            at=datetime.now(UTC),
            force=force,
            trusted=keys,
            policy=witness_policy(settings),
        )
    typer.echo(f"{written.events} events, complete up to position {chosen.as_of_position}, in {out}")
    typer.echo(f"signed tree of {written.head.size} events of {quoted(written.head.origin)}")
    typer.echo(f"cosigned by {', '.join(map(quoted, written.cosigned_by)) or 'nobody'}")
    typer.echo(f"SHA-256 of manifest.json: {written.manifest_digest}")
    if written.satisfies_policy is False:
        typer.echo(
            "NO QUORUM: no signed head that covers these events satisfies the witness policy yet, so the kit has the"
            " newest head"
        )
    if not trusted:
        typer.echo(
            "The public key was taken from the database itself: set AUDIT_TRAIL_LOG_VKEYS to the one that you keep"
        )
    if not trusted or written.satisfies_policy is False:
        raise typer.Exit(ExitCode.NOT_PROVEN)


def _by_id(models: ReadModels, ids: Sequence[str], patients: dict[str, None]) -> Selection:
    from event_store.evidence.kit import Selection

    positions = set()
    for text in ids:
        try:
            found = models.event(UUID(text))
        except ValueError as exc:
            raise wrong("--event", "an event id is a UUID") from exc
        if found is None:
            raise wrong("--event", f"no event has the id {UUID(text)}")
        positions.add(found.position)
        patients.update((patient.id, None) for patient in found.event.patients)
    query = {"event": [str(UUID(text)) for text in ids]}
    return Selection(query=query, positions=sorted(positions), as_of_position=max(positions))


def _by_filter(models: ReadModels, filter: EventFilter, patients: dict[str, None]) -> Selection:
    from event_store.evidence.kit import Selection
    from queries.export.manifest import given_of

    positions, as_of = _positions(models, filter, patients)
    if not positions:
        raise RejectedError(
            Reason.INVALID_FIELD, f"no event up to position {as_of} matches: there is nothing to write"
        )
    query = {_SELECTION_NAMES.get(name, name): _text_of(value) for name, value in given_of(filter).items()}
    return Selection(query=query, positions=positions, as_of_position=as_of)


def _text_of(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _positions(
    models: ReadModels, filter: EventFilter, patients: dict[str, None]
) -> tuple[Sequence[int], int]:
    """The positions of all that match, going up, and the position up to which that is complete.

    Adds the patients of these events to `patients`.
    """
    from queries.search.prepared import prepare

    found = array("q")
    query = prepare(filter)
    page = models.events(query, PageRequest(last=MAX_PAGE))
    as_of = page.as_of_position  # what is recorded while the pages are read stays out
    while page.events:
        some = [each for each in reversed(page.events) if each.position <= as_of]
        found.extend(each.position for each in some)
        patients.update((patient.id, None) for each in some for patient in each.event.patients)
        if not page.has_previous or page.events[0].position >= as_of:
            break
        page = models.events(query, PageRequest(last=MAX_PAGE, before=page.events[0].position))
    return found, as_of
