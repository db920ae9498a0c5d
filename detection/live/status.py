"""Which rules count now, and what they have raised."""

from __future__ import annotations

from msgspec import Struct

from detection.live.rule_sets import newest_activation, read_documents, rules_of, switched_off
from event_store.database import Database, named, only, sql
from event_store.statements import load
from projections.models.detection import DetectionModel
from projections.registry import live_builds

_SQL = load(__package__, "status.sql")


class RuleStatus(Struct, frozen=True, kw_only=True):
    """A rule that counts. `missing`: the tables of context without which it can't be evaluated."""

    rule_id: str
    title: str
    level: str
    missing: list[str]
    alerts: int


class RuleOff(Struct, frozen=True, kw_only=True):
    """A rule that was switched off, by its owner's decision."""

    title: str
    owner: str
    reason: str
    until: str


class DetectionStatus(Struct, frozen=True, kw_only=True):
    """The rules that count from `position` on. `unpublished`: alerts that the trail does not have as events yet."""

    position: int
    rules: list[RuleStatus]
    switched_off: list[RuleOff]
    unpublished: int


def read_status(database: Database) -> DetectionStatus:
    """The state of the live build; nothing before the first start of `project`."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        live = live_builds(connection).get(DetectionModel.name)
        if live is None:
            return DetectionStatus(position=-1, rules=[], switched_off=[], unpublished=0)
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(live.schema)))
        cursor.execute(_SQL["active_from"])
        position = only(cursor)
        cursor.execute(_SQL["rules"], {"position": position})
        rules = [RuleStatus(**row) for row in named(cursor)]
        cursor.execute(_SQL["unpublished"])
        unpublished = int(only(cursor))
    return DetectionStatus(
        position=-1 if position is None else int(position),
        rules=rules,
        switched_off=_switched_off(database),
        unpublished=unpublished,
    )


def _switched_off(database: Database) -> list[RuleOff]:
    newest = newest_activation(database)
    if newest is None:
        return []
    documents = read_documents(database, newest.digest)
    titles = {rule.head.id: rule.head.title for rule in rules_of(documents)}
    return [
        RuleOff(title=titles[each.rule], owner=each.owner, reason=each.reason, until=each.until)
        for each in switched_off(documents)
    ]
