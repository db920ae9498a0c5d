"""`audit-trail review`: review campaigns, from the sample to the signed package."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID, uuid4

import typer
from rich.table import Table

from audit_trail.commands.filter_options import takes_filter
from audit_trail.commands.terminal import Unrecorded, decision_text, moment, out, plain, quoted, wrong
from audit_trail.exit_codes import ExitCode
from domain.access.principal import Role
from domain.errors import UnavailableError
from domain.reviews.commands import MAX_ITEMS, ReviewKind, ReviewVerdict, Strata
from queries.filters.event_filter import EventFilter

if TYPE_CHECKING:
    from domain.reviews.commands import ReviewBody
    from queries.detection.review_results import ReviewItemView, ReviewView

app = typer.Typer(
    help="Reviews: people look at a sample of the trail, or at all grants, and decide about each item.",
    no_args_is_help=True,
)
Id = Annotated[UUID, typer.Argument(metavar="ID", help="The id of the review.")]
By = Annotated[str, typer.Option(help="Your id, as events name you. The trail keeps it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the trail for ever.")]
Number = Annotated[int, typer.Argument(metavar="ITEM", min=1, max=MAX_ITEMS, help="The number of the item.")]
_WAIT = 30.0
_Wait = Annotated[
    float, typer.Option(min=0, max=3600, help="How many seconds to wait until `ingest` has carried it out.")
]


@app.command()
@takes_filter()
def begin(
    name: Annotated[str, typer.Option(help="The name of the review.")],
    reason: Reason,
    reviewer: Annotated[
        list[str], typer.Option(help="The id of a reviewer, as events name them; may be repeated.")
    ],
    due: Annotated[str, typer.Option(help="Until when: a date (UTC) or a time with its offset.")],
    by: By,
    kind: Annotated[ReviewKind, typer.Option(help="What is looked at.")] = ReviewKind.EVENTS,
    sample: Annotated[int, typer.Option(min=1, max=MAX_ITEMS, help="The most items.")] = 100,
    strata: Annotated[
        Strata, typer.Option(help="What the sample is divided by; department needs the table staff.")
    ] = Strata.NONE,
    recorded_from: Annotated[
        str | None, typer.Option(help="Only what was recorded from then on: a date or a time.")
    ] = None,
    recorded_until: Annotated[
        str | None, typer.Option(help="Only what was recorded before: a date or a time.")
    ] = None,
    dormant_days: Annotated[
        int, typer.Option(min=1, max=3660, help="Without use for that long, an account is dormant.")
    ] = 90,
    seed: Annotated[
        str | None,
        typer.Option(
            help="What decides what is drawn, in hexadecimal; by default it follows from the log and the id."
        ),
    ] = None,
    wait: _Wait = _WAIT,
    *,
    filter: EventFilter,
) -> None:
    """Begin a review: draw its work list from the log as it is now, and give each item to a reviewer.

    The filters of events are for a review of events.
    """
    from domain.cases.commands import Person
    from domain.reviews.commands import BeginReview
    from queries.export.manifest import given_of

    body = BeginReview(
        name=decision_text(name, "--name", 1024),
        purpose=decision_text(reason, "--reason", 65_536),
        reviewed=kind,
        reviewers=tuple(Person(id=decision_text(each, "--reviewer", 256)) for each in reviewer),
        due_at=_time("--due", due),
        sample_size=sample,
        strata=strata,
        period_from=None if recorded_from is None else _time("--recorded-from", recorded_from),
        period_until=None if recorded_until is None else _time("--recorded-until", recorded_until),
        filter=given_of(filter),
        dormant_days=dormant_days,
        seed=seed,
    )
    review = uuid4()
    _give(Role.PRIVACY_OFFICER, by, review, body, wait)
    typer.echo(f"review {review} has begun")


@app.command("list")
def list_reviews(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most reviews.")] = 50,
) -> None:
    """List the newest reviews, with their progress."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from queries.detection.review_models import ReviewModels
    from queries.detection.review_results import ReviewFilter

    with closing(open_database(load(), Pool.READER)) as database:
        page = ReviewModels(database).reviews(ReviewFilter(), limit)
    _require_tables(page.as_of_position)
    table = Table("review", "name", "kind", "state", "due", "decided", "without reviewer", box=None)
    for each in page.reviews:
        table.add_row(
            each.review_id,
            plain(each.name),
            each.kind.value,
            _state(each),
            f"{each.due_at:%Y-%m-%d}",
            f"{each.decided} of {each.items}",
            str(each.without_reviewer),
        )
    out.print(table)


@app.command()
def show(
    review: Id,
    reviewer: Annotated[str | None, typer.Option(help="Only the items of this reviewer.")] = None,
    undecided: Annotated[bool, typer.Option("--undecided", help="Only items without a decision.")] = False,
    after: Annotated[int, typer.Option(min=0, max=MAX_ITEMS, help="Only items after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most items.")] = 100,
    unrecorded: Unrecorded = None,
) -> None:
    """Show a review and its items. It names staff, so the trail records it, through Kafka."""
    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from queries.detection.review_models import ReviewModels
    from queries.detection.review_results import ReviewItemFilter

    settings = load()
    query = {"review": str(review), "reviewer": reviewer, "undecided": undecided}
    with closing(open_database(settings, Pool.READER)) as database:
        models = ReviewModels(database)
        found = models.review(str(review))
        filter = ReviewItemFilter(reviewer=reviewer, decided=False if undecided else None)
        page = models.items(str(review), filter, limit, after)
        if found is None or page is None:
            raise wrong("ID", f"there is no review {review}, or `project` has not read it yet")
        with CommandRecord(settings, "review show", query, unrecorded) as record:
            record.showing(len(page.items))
    _show(found.review, page.items)


@app.command()
def decide(
    review: Id,
    item: Number,
    verdict: Annotated[ReviewVerdict, typer.Option(help="What you decided.")],
    reason: Reason,
    by: By,
    seconds: Annotated[
        int | None, typer.Option(min=0, help="How long you looked, if you measured it.")
    ] = None,
    wait: _Wait = _WAIT,
) -> None:
    """Decide an item that is yours, or correct your decision: the last one counts, all stay in the trail."""
    from domain.reviews.commands import DecideItem

    text = decision_text(reason, "--reason", 65_536)
    body = DecideItem(item=item, verdict=verdict, reason=text, seconds=seconds)
    _give(Role.REVIEWER, by, review, body, wait)
    typer.echo(f"item {item} is decided: {verdict.value}")


@app.command()
def reassign(
    review: Id,
    item: Number,
    reviewer: Annotated[str, typer.Option(help="The id of the new reviewer.")],
    reason: Reason,
    by: By,
    wait: _Wait = _WAIT,
) -> None:
    """Give an item to another reviewer, who is not its subject."""
    from domain.cases.commands import Person
    from domain.reviews.commands import ReassignItem

    person = Person(id=decision_text(reviewer, "--reviewer", 256))
    body = ReassignItem(item=item, reviewer=person, reason=decision_text(reason, "--reason", 65_536))
    _give(Role.PRIVACY_OFFICER, by, review, body, wait)
    typer.echo(f"item {item} is that of {quoted(person.id)}")


@app.command()
def close(review: Id, reason: Reason, by: By, wait: _Wait = _WAIT) -> None:
    """End a review. Its result counts the items that are not decided."""
    from domain.reviews.commands import CloseReview

    body = CloseReview(reason=decision_text(reason, "--reason", 65_536))
    _give(Role.PRIVACY_OFFICER, by, review, body, wait)
    typer.echo(f"review {review} is closed")


@app.command()
def export(
    review: Id,
    to: Annotated[Path, typer.Option("--out", help="The folder to write, or a file that ends in .zip.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the kit that is there.")] = False,
    unrecorded: Unrecorded = None,
) -> None:
    """Write the package of a review: its events and those of its items, with proofs, as an evidence kit.

    It holds personal data, and that it was written is put on record, through Kafka.
    """
    from importlib.metadata import version

    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from audit_trail.trust.keys import trusted_keys, witness_policy
    from detection.reviews.package import package_of
    from event_store.evidence.kit import write_kit
    from event_store.evidence.storage import require_free

    require_free(to, force=force)
    settings = load()
    keys, trusted = trusted_keys(settings)
    with closing(open_database(settings, Pool.READER)) as database:
        package = package_of(database, review)
        with CommandRecord(settings, "review export", package.selection.query, unrecorded) as record:
            record.showing(len(package.selection.positions), package.patients)
        written = write_kit(
            database,
            package.selection,
            to,
            program=f"audit-trail {version('audit-trail')}",
            at=datetime.now(UTC),
            force=force,
            trusted=keys,
            policy=witness_policy(settings),
        )
    typer.echo(f"{written.events} events of the review, in {to}")
    typer.echo(f"signed tree of {written.head.size} events of {quoted(written.head.origin)}")
    typer.echo(f"SHA-256 of manifest.json: {written.manifest_digest}")
    if not package.closed:
        typer.echo("The review is open: a package of the closed review has its result too")
    if not trusted:
        typer.echo(
            "The public key was taken from the database itself: set AUDIT_TRAIL_LOG_VKEYS to the one that you keep"
        )
    if not trusted or written.satisfies_policy is False:
        raise typer.Exit(ExitCode.NOT_PROVEN)


def _give(role: Role, by: str, review: UUID, body: ReviewBody, wait: float) -> None:
    """Have a command carried out. Whoever has the database's login is trusted to say who they are."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from domain.access.principal import Principal
    from queries.case_commands import CaseCommands, require_done

    person = decision_text(by, "--by", 256)
    principal = Principal(id=person, roles=frozenset({role}), actors=(person,))
    command = uuid4()
    with closing(open_database(load(), Pool.REQUESTS)) as database:
        commands = CaseCommands(database)
        commands.give_review(principal, command, review, body)
        outcome = commands.wait(command, wait)
        left = wait - _WAIT
        while outcome is None and left > 0:
            outcome = commands.wait(command, left)
            left -= _WAIT
    require_done(outcome)


def _time(option: str, text: str) -> datetime:
    found: datetime = moment(option, text)
    return found


def _require_tables(as_of_position: int) -> None:
    if as_of_position < 0:
        raise UnavailableError("the projection detection has no tables yet: start `project`")


def _state(review: ReviewView) -> str:
    return "overdue" if review.overdue else review.state.value


def _show(review: ReviewView, items: list[ReviewItemView]) -> None:
    out.print(plain(f"{review.name} ({review.kind.value}): {_state(review)}, due {review.due_at:%Y-%m-%d}"))
    out.print(plain(review.purpose))
    out.print(f"{review.decided} of {review.items} items are decided", highlight=False)
    out.print(
        f"drawn from the tree of {review.tree_size} events, root hash {review.root_hash}", highlight=False
    )
    table = Table("item", "reviewer", "stratum", "positions", "what", "verdict", "reason", box=None)
    for each in items:
        positions = ", ".join(map(str, each.positions[:10]))
        verdict = "" if each.verdict is None else each.verdict.value
        cells = (str(each.item), each.reviewer or "nobody: all reviewers are the subject", each.stratum or "")
        table.add_row(*map(plain, (*cells, positions, each.what or "", verdict, each.reason or "")))
    out.print(table)
