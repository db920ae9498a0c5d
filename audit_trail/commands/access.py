"""`audit-trail access`: decisions about who sees what."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from audit_trail.commands.terminal import moment, out, wrong
from domain.errors import RejectedError

app = typer.Typer(help="Decisions about who sees what.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make `decide` a subcommand: typer runs the only command of a group without its name."""


@app.command()
def decide(
    patient: Annotated[str, typer.Option(help="The patient's id, as events name it.")],
    names: Annotated[
        bool, typer.Option("--names/--no-names", help="Whether the patient sees names and ids of staff.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for ever.")],
    until: Annotated[
        str | None,
        typer.Option(
            help="When the decision ends: a date (UTC) or a time with its offset. By default it does not end."
        ),
    ] = None,
) -> None:
    """Decide whether a patient sees which staff accessed the record.

    The decision is an event of the trail, in the name of the account that runs this command. The newest one applies.
    """
    from audit_trail.commands.access_record import operator
    from audit_trail.ingest_settings import ingest_settings
    from audit_trail.settings import load
    from domain.access.staff_disclosure import Decision, decision_event
    from domain.validation import check, encode_event
    from ingest.own_source import own_source
    from ingest.publisher import Message, Publisher
    from queries.filters.checks import check_identifier

    if not reason.strip() or not patient.strip():
        missing = "--reason" if patient.strip() else "--patient"
        raise wrong(missing, "a decision needs a patient and a reason")
    try:
        check_identifier("patient", patient)
    except RejectedError as exc:
        raise wrong("--patient", exc.message) from exc
    now = datetime.now(UTC)
    ends = None if until is None else moment("--until", until)
    if ends is not None and ends <= now:
        raise wrong("--until", "this is over already")
    decision = Decision(names, ends)
    event = decision_event(
        patient, decision, by=operator(), reason=reason.strip(), at=now, source=own_source()
    )
    check(event)
    settings = load()
    with closing(Publisher(ingest_settings(settings))) as publisher:
        publisher.publish([Message(settings.kafka_topics[0], patient.encode(), encode_event(event))])
    out.print(f"decided: event {event.event_id}")
