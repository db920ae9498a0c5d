"""`audit-trail detect`: rules that find what should be looked at: their own tests, and a dry run over history."""

from __future__ import annotations

import re
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from audit_trail.commands.terminal import Unrecorded, moment, out, plain, visible, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detection.evaluation.firing import Firing
    from detection.history import Outcome
    from detection.rule_tests import CaseResult
    from detection.rules.rule import RuleSet

app = typer.Typer(
    help="Rules that find what should be looked at: run their tests, try them on history, see which ones count.",
    no_args_is_help=True,
)

_AGO = re.compile(r"([0-9]{1,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_Rules = Annotated[
    list[Path] | None,
    typer.Option("--rule", help="A file of rules; may be repeated. By default the shipped rules."),
]


@app.command("test")
def run_tests_of_rules(
    files: Annotated[
        list[Path] | None, typer.Argument(help="The files of rules; by default the shipped rules.")
    ] = None,
) -> None:
    """Run the test events that rules carry. It exits 1 when a rule fires that must not, or does not that must.

    All files are one set: a correlation may name rules of another file.
    """
    from detection.rule_tests import run_tests, untested

    rules = _read(files)
    results = list(run_tests(rules))
    failed = [result for result in results if not result.passed]
    for result in failed:
        typer.echo(_failure(result))
    for rule in untested(rules):
        typer.echo(f"{_place(rule)}: it has no test events, or only of one kind: fires and silent", err=True)
    typer.echo(f"{len(results) - len(failed)} of {len(results)} tests of {len(rules)} rules passed")
    if failed:
        raise typer.Exit(1)


@app.command()
def run(
    rule: _Rules = None,
    since: Annotated[
        str, typer.Option(help="From when: a time ago such as 90d or 12h, a date, or a time with its offset.")
    ] = "90d",
    until: Annotated[str | None, typer.Option(help="Up to when, likewise; by default now.")] = None,
    max_alerts: Annotated[
        int, typer.Option(min=0, max=1000, help="How many findings to show; the others are counted.")
    ] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    unrecorded: Unrecorded = None,
) -> None:
    """Evaluate rules over history, and say what they would have found: how often, about whom, with examples.

    It changes nothing. It shows personal data, so the trail records it, through Kafka. Times are those of recording.
    """
    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from detection.history import replay

    now = datetime.now(UTC)
    begins, ends = _when("--since", since, now), _when("--until", until, now) if until else None
    if ends is not None and ends <= begins:
        raise wrong("--until", "give a time after --since")
    rules = _read(rule)
    settings = load()
    query = {"rules": [each.head.id for each in rules.reported], "since": begins.isoformat(), "until": until}
    with (
        closing(open_database(settings, Pool.EXPORTS)) as database,
        CommandRecord(settings, "detect run", query, unrecorded) as record,
    ):
        record.started()
        rows, reason = 0, "cut off"
        try:
            outcome = replay(database, rules, begins, ends, max_alerts, _Progress())
            rows, patients = outcome.disclosed(database)
            record.delivered(rows, patients)
            typer.echo(_as_json(outcome) if json else _as_text(outcome, rules))
            reason = ""
        finally:
            record.ended(rows, reason or None)


@app.command()
def status() -> None:
    """List the rules that count now, those that can't be evaluated, and how many alerts wait to be published.

    It exits 1 when there is a fault in the files of rules, and says which.
    """
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from detection.live.alert_reader import UnpublishedAlerts
    from detection.live.rule_sets import read_documents, titles_of
    from queries.detection.read_models import DetectionModels

    with closing(open_database(load(), Pool.READER)) as database:
        found = DetectionModels(database).rules()
        unpublished = UnpublishedAlerts(database).count()
        off = found.switched_off and found.set_digest
        titles = titles_of(read_documents(database, off)) if off else {}
    table = Table("rule", "level", "from position", "alerts", "state", box=None)
    for rule in found.rules:
        state = f"not evaluable without {', '.join(rule.missing)}" if rule.missing else ""
        cells = (rule.title, rule.level.value, str(found.position), str(rule.alerts), state)
        table.add_row(*map(plain, cells))
    out.print(table)
    for each in found.switched_off:
        until = f" until {each.until}" if each.until else ""
        line = f"switched off{until}: {titles.get(each.rule, each.rule)}, by {each.owner}: {each.reason}"
        typer.echo(visible(line))
    typer.echo(f"{len(found.rules)} rules count; {unpublished} alerts are not published yet")
    if found.fault:
        since = f"{found.fault_since:%Y-%m-%d %H:%M:%S}"
        typer.echo(
            visible(
                f"the files of rules do not count since {since}, and the rules above go on: {found.fault}"
            )
        )
        raise typer.Exit(1)


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="A folder; what is there already is not replaced.")],
) -> None:
    """Copy the shipped rules into a folder, to change their parameters there."""
    from detection.pack import pack_files

    folder.mkdir(parents=True, exist_ok=True)
    for file in pack_files():
        try:
            with (folder / file.name).open("x", encoding="utf-8") as copy:
                copy.write(file.read_text("utf-8"))
        except FileExistsError:
            raise wrong("FOLDER", f"{folder / file.name} is there already: name another folder") from None
    typer.echo(f"copied {len(pack_files())} files to {folder}")


def _read(files: list[Path] | None) -> RuleSet:
    from detection.pack import pack_files
    from detection.rules.rule_file import read_rules

    return read_rules(files or pack_files())


def _when(option: str, text: str, now: datetime) -> datetime:
    match = _AGO.fullmatch(text)
    return now - timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else moment(option, text)


class _Progress:
    """Writes how far a dry run is to standard error, once a second and at the end."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now >= self._next:
            self._next = now + 1
            typer.echo(f"{done:,} of {total:,} positions", err=True)


def _place(rule: Any) -> str:
    return f"{rule.head.file}, line {rule.head.line}: {visible(rule.head.title)}"


def _failure(result: CaseResult) -> str:
    case = f"{'fires' if result.wanted else 'silent'}[{result.number - 1}]"
    if result.wanted:
        return f"{_place(result.rule)}: tests.{case}: it must fire, and does not"
    first = result.firings[0]
    return (
        f"{_place(result.rule)}: tests.{case}: it must be silent, and fires at the events"
        f" {', '.join(map(str, first.positions[:10]))}: {visible('; '.join(first.reasons))}"
    )


def _as_json(outcome: Outcome) -> str:
    import msgspec

    return msgspec.json.encode(
        {
            "first_position": outcome.first,
            "last_position": outcome.last,
            "events": outcome.events,
            "seconds": round(outcome.seconds, 3),
            "rules": [
                {
                    "rule": each.rule,
                    "title": each.title,
                    "level": each.level,
                    "findings": each.firings,
                    "events": each.events,
                    "limits_met": each.limits,
                    "groups": [{"group": dict(group), "findings": count} for group, count in each.top()],
                }
                for each in outcome.rules
            ],
            "not_evaluable": [
                {"rule": rule, "missing_tables": missing} for rule, missing in outcome.not_evaluable.items()
            ],
            "accesses": [
                {"explained_by": rule or None, "accesses": count} for rule, count in outcome.explained.items()
            ],
            "findings": outcome.firings,
            "not_shown": outcome.left_out,
        }
    ).decode()


def _as_text(outcome: Outcome, rules: RuleSet) -> str:
    speed = outcome.events / outcome.seconds if outcome.seconds else 0
    lines = [
        f"{outcome.events:,} events, positions {outcome.first} to {outcome.last}, {speed:,.0f} events a second"
    ]
    lines += _of_context(outcome, rules)
    for each in sorted(outcome.rules, key=lambda found: -found.firings):
        if each.rule in outcome.not_evaluable:
            continue
        share = each.events / outcome.events if outcome.events else 0
        lines.append(
            f"{each.firings:>7} {each.level:<8} {visible(each.title)}"
            + (f" ({each.events:,} events, {share:.2%} of all)" if each.firings else "")
        )
        if each.limits:
            lines.append(f"{'':16} met a limit {each.limits} times: it may have found more")
        for group, count in each.top():
            lines.append(f"{'':16} {count} of {_group(group)}")
    if outcome.firings:
        lines.append("")
    lines += [_finding(firing) for firing in outcome.firings]
    if outcome.left_out:
        lines.append(f"and {outcome.left_out:,} more: --max-alerts shows them")
    return "\n".join(lines)


def _of_context(outcome: Outcome, rules: RuleSet) -> Iterator[str]:
    """Which rules could not be evaluated, and how many accesses are explained."""
    for id, missing in outcome.not_evaluable.items():
        title = visible(rules[id].head.title)
        yield f"{'not evaluable':16} {title}: load {', '.join(missing)}"
    accesses = sum(outcome.explained.values())
    if accesses:
        explained = accesses - outcome.explained[""]
        yield f"{explained:,} of {accesses:,} accesses are explained ({explained / accesses:.2%}), by"
    for id, count in outcome.explained.most_common():
        if id:
            yield f"{count:>7} {'':8} {visible(rules[id].head.title)}"


def _finding(firing: Firing) -> str:
    positions = ", ".join(map(str, firing.positions[:5])) + (", ..." if firing.count > 5 else "")
    who = f" {_group(firing.group)}" if firing.group else ""
    kind = "" if firing.kind == "match" else f" [{firing.kind}]"
    return (
        f"{firing.begins:%Y-%m-%d %H:%M:%S} {firing.level}{kind} {visible(firing.title)}:{who}"
        f" {firing.count} events at {positions}\n    {visible('; '.join(firing.reasons))}"
    )


def _group(group: tuple[tuple[str, str], ...]) -> str:
    return visible(", ".join(f"{name} {value}" for name, value in group))
