"""A trail with alerts of real rules, cases that people work on, and a worker that carries out commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID, uuid4

from audit_trail.cases.worker import CaseWorker
from detection.cases.case_book import CaseBook
from detection.live.projector import DetectionProjector
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.cases.commands import Body
from domain.read_audit.query_log import QueryLog
from event_store.case_commands import Outcome
from projections.runner import Runner
from queries.case_commands import CaseCommands
from queries.detection.results import AlertFilter, AlertView, CaseFilter, CaseView
from queries.scoped.read_models import ScopedModels
from tests.detection.live.logs import DELETION, READS, activate, deletion, read_by
from tests.signing import TEXT
from tests.trail import Trail

OFFICER = Principal(id="paul", name="Paul", roles=frozenset({Role.PRIVACY_OFFICER}))


class GivenDetection:
    """What the parts of an installation do, one step at a time."""

    def __init__(self, trail: Trail, worker: CaseWorker) -> None:
        self.trail = trail
        self.commands = CaseCommands(trail.reader)
        self._worker = worker

    def detect(self) -> None:
        """Evaluate what the log has, put alerts into cases, and show these."""
        while True:
            Runner(self.trail.projector, [DetectionProjector()]).catch_up()
            if not self._worker.step():
                return
            self.trail.size = len_of_log(self.trail)

    def given(self) -> None:
        """Eve has deleted a record, and Ada has read three patients' records."""
        activate(self.trail, READS, DELETION)
        self.trail.append(deletion("eve"))
        self.trail.append(*(read_by("ada", f"p-{n}") for n in range(3)))
        self.detect()

    def carried_out(self, target: str | UUID, body: Body, by: Principal = OFFICER) -> Outcome:
        """Give a command, carry it out, and show its result in the read model."""
        id = uuid4()
        self.commands.give(by, id, UUID(str(target)), body)
        self.detect()
        found = self.commands.wait(id, 0)
        assert found is not None
        return found

    def models(self, principal: Principal = OFFICER, log: QueryLog | None = None) -> ScopedModels:
        return ScopedModels(self.trail.read, Scope(principal), QueryLog() if log is None else log)

    def alerts(self, principal: Principal = OFFICER, **conditions: Any) -> list[AlertView]:
        return self.models(principal).alerts(AlertFilter(**conditions)).alerts

    def cases(self, principal: Principal = OFFICER, **conditions: Any) -> list[CaseView]:
        return self.models(principal).cases(CaseFilter(**conditions)).cases

    def case_of(self, actor: str) -> CaseView:
        [found] = self.cases(actor=actor)
        return found


def len_of_log(trail: Trail) -> int:
    """How many events the log has; the book appends beside the trail."""
    [(size,)] = trail.rows("SELECT size FROM audit_trail.log_state")
    return int(size)


@contextmanager
def given_detection(trail: Trail) -> Iterator[GivenDetection]:
    with closing(CaseBook(trail.url, TEXT)) as book, closing(CaseWorker(trail.ingest, book)) as worker:
        yield GivenDetection(trail, worker)
