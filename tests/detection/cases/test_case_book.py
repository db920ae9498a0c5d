"""The book on a real log: alerts find their cases, commands are done once, and processes agree."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from detection.cases.alerts import AlertFacts, about_actor
from detection.cases.case import Case
from detection.cases.case_book import CaseBook
from detection.cases.stored_events import CaseEvents
from domain.access.principal import Principal
from domain.alert_level import Level
from domain.cases.commands import Body, Comment, Decide, EndSuppression, OpenCase, Suppress, Verdict
from domain.dead_letter import DeadLetterResolution
from domain.errors import AccessDeniedError, ConflictError, FencedError, RejectedError
from event_store.aggregate_events import AggregateEvent, position_of, read_aggregate_events
from event_store.database import READER
from event_store.verify.run import verify
from ingest.dead_letters import DeadLetterDesk
from tests.detection.cases.given_cases import ADA, PAUL, PERSON_ADA, RITA, RULE, an_alert, command, day
from tests.detection.cases.test_case import ANSWER, ASK, COMMENT, DECIDE, REOPEN
from tests.signing import KEY, TEXT
from tests.trail import Trail, an_event

ADAS = about_actor("ada")
OPEN = OpenCase(actor="ada", title="A complaint", level=Level.LOW, reason="A patient called.")
SUPPRESS = Suppress(rule_id=RULE, owner=PERSON_ADA, reason="known", expires_at=day(30))


def receive(book: CaseBook, alert: AlertFacts) -> UUID:
    return book.receive(alert, ADAS, day(0)).case


def the_case(book: CaseBook, id: UUID) -> Case:
    found: Case = book.repository.get(id)
    return found


def log(trail: Trail) -> list[AggregateEvent]:
    with trail.projector.transaction(read_only=True) as connection:
        return read_aggregate_events(connection, -1, 1000)


def test_alerts_of_one_actor_join_one_case_and_those_of_another_do_not(book: CaseBook) -> None:
    cases = [receive(book, an_alert(days)) for days in (0, 10, 95)]
    other = book.receive(an_alert(11), about_actor("bob"), day(0)).case
    assert len(set(cases)) == 1
    assert other not in cases
    assert len(the_case(book, cases[0]).alerts) == 3


def test_the_alert_and_its_case_are_appended_together_and_once(book: CaseBook, trail: Trail) -> None:
    alert = an_alert()
    first = book.receive(alert, ADAS, day(0))
    again = book.receive(alert, ADAS, day(1))
    assert (first.new, again.new, first.case) == (True, False, again.case)
    assert [event.topic for event in log(trail)] == [
        "actor_cases.begun",
        "actor_cases.alert_received",
        "case.opened",
    ]
    assert len({event.recorded_at for event in log(trail)}) == 1


@pytest.mark.parametrize(("body", "by"), [(ANSWER, ADA), (COMMENT, RITA), (EndSuppression(reason="x"), PAUL)])
def test_no_command_tells_whether_there_are_alerts_about_a_person(
    book: CaseBook, body: Body, by: Principal
) -> None:
    """The id of what remembers the alerts about a person follows from the person's id."""
    receive(book, an_alert())
    answers = []
    for target in (ADAS.id, about_actor("nobody").id):
        with pytest.raises((AccessDeniedError, RejectedError)) as refused:
            book.carry_out(command(target, body, by))
        answers.append((type(refused.value), str(refused.value)))
    assert answers[0] == answers[1]


def test_after_90_days_an_alert_opens_a_case_that_names_the_earlier_one(book: CaseBook) -> None:
    earlier = receive(book, an_alert(0))
    later = receive(book, an_alert(90.1))
    assert later != earlier
    opened = CaseEvents().to_domain_event(book.recorder.select_events(later)[0])
    assert isinstance(opened, Case.Opened)
    assert opened.earlier == earlier


def test_an_alert_after_the_decision_opens_a_new_case(book: CaseBook) -> None:
    first = receive(book, an_alert(0))
    book.carry_out(command(first, DECIDE))
    second = receive(book, an_alert(1))
    assert second != first
    assert receive(book, an_alert(2)) == second


def test_a_case_that_is_opened_again_while_it_is_the_newest_takes_alerts(book: CaseBook) -> None:
    first = receive(book, an_alert(0))
    book.carry_out(command(first, DECIDE))
    book.carry_out(command(first, REOPEN))
    assert receive(book, an_alert(1)) == first


def test_a_command_is_done_once_and_names_its_version(book: CaseBook, trail: Trail) -> None:
    case = receive(book, an_alert())
    given = command(case, COMMENT)
    assert [book.carry_out(given), book.carry_out(given)] == [2, 2]
    with trail.ingest.transaction() as connection:
        assert position_of(connection, case, 2) == 3
        assert position_of(connection, case, 3) is None


def test_another_process_finds_a_command_done(book: CaseBook, trail: Trail) -> None:
    """As after a kill between the append and the outcome."""
    case = receive(book, an_alert())
    given = [
        command(case, DECIDE),
        command(uuid4(), SUPPRESS, PAUL),
        command(uuid4(), replace(OPEN, actor="bob")),
    ]
    before = [book.carry_out(each) for each in given]
    with closing(CaseBook(trail.url, TEXT)) as other:
        size = len(log(trail))
        assert [other.carry_out(each) for each in given] == before
        assert len(log(trail)) == size


def test_a_person_opens_a_case_which_alerts_join(book: CaseBook) -> None:
    given = command(uuid4(), OPEN)
    book.carry_out(given)
    assert receive(book, an_alert(1)) == given.target
    with pytest.raises(ConflictError, match=f"case {given.target} about this actor is open"):
        book.carry_out(command(uuid4(), OPEN))


def test_suppressions_start_and_end(book: CaseBook, trail: Trail) -> None:
    given = command(uuid4(), SUPPRESS, PAUL)
    end = command(given.target, EndSuppression(reason="fixed"), PAUL, days=1)
    assert [book.carry_out(each) for each in (given, end, end)] == [1, 2, 2]
    assert [event.topic for event in log(trail)] == ["suppression.started", "suppression.ended"]


@pytest.mark.parametrize("body", [COMMENT, DECIDE, EndSuppression(reason="x")])
def test_what_does_not_exist_is_refused(book: CaseBook, body: Body) -> None:
    with pytest.raises(RejectedError, match="target: there is no such"):
        book.carry_out(command(uuid4(), body, PAUL))


def test_an_id_of_something_else_is_refused(book: CaseBook, trail: Trail) -> None:
    letter = uuid4()
    with closing(DeadLetterDesk(trail.ingest, trail.url, TEXT)) as desk:
        desk.save(DeadLetterResolution.receive(letter, 17))
    case = receive(book, an_alert())
    for target, body in (
        (letter, OPEN),
        (letter, SUPPRESS),
        (case, SUPPRESS),
        (case, OPEN),
    ):
        with pytest.raises(ConflictError, match="target: this is the id of something else"):
            book.carry_out(command(target, body, PAUL))


@pytest.mark.parametrize("about", [COMMENT, DECIDE, ASK])
def test_nobody_reviews_themselves(book: CaseBook, about: Body) -> None:
    case = book.receive(an_alert(), about_actor("rita"), day(0)).case
    with pytest.raises(
        RejectedError, match="there is no such case"
    ):  # a reviewer does not see that there is one
        book.carry_out(command(case, about, RITA))
    with pytest.raises(AccessDeniedError):
        book.carry_out(command(case, about, replace(PAUL, actors=("rita",))))


def test_only_the_employee_asked_answers(book: CaseBook) -> None:
    case = receive(book, an_alert())
    book.carry_out(command(case, ASK))
    for other in (RITA, PAUL):
        with pytest.raises(AccessDeniedError):
            book.carry_out(command(case, ANSWER, other))
    book.carry_out(command(case, ANSWER, ADA))
    assert the_case(book, case).asked is None
    with pytest.raises(AccessDeniedError):  # and not: there is no such case
        book.carry_out(command(uuid4(), ANSWER, ADA))


def in_parallel(trail: Trail, *works: Callable[[CaseBook], object]) -> list[BaseException | None]:
    """Each work in a book of its own, all at once; their errors."""

    def run(work: Callable[[CaseBook], object]) -> None:
        with closing(CaseBook(trail.url, TEXT)) as book:
            work(book)

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.exception() for each in [pool.submit(run, work) for work in works]]


def test_processes_at_once_open_one_case(trail: Trail) -> None:
    alerts = [an_alert(at) for at in range(4)]

    def work(book: CaseBook) -> None:
        for alert in alerts:
            while True:
                try:
                    receive(book, alert)
                except FencedError:
                    continue
                break

    assert in_parallel(trail, *[work] * 4) == [None] * 4
    topics = [event.topic for event in log(trail)]
    assert (topics.count("case.opened"), topics.count("case.alert_joined")) == (1, 3)
    assert topics.count("actor_cases.alert_received") == 4


def test_of_two_contradicting_decisions_one_is_refused(book: CaseBook, trail: Trail) -> None:
    case = receive(book, an_alert())
    breach = Decide(verdict=Verdict.POLICY_BREACH, reason="No reason to look.")
    found = in_parallel(
        trail,
        lambda book: book.carry_out(command(case, DECIDE)),
        lambda book: book.carry_out(command(case, breach)),
    )
    [refused] = [each for each in found if each is not None]
    assert isinstance(refused, ConflictError)


def test_the_events_are_sealed_like_all_others(book: CaseBook, trail: Trail) -> None:
    case = receive(book, an_alert())
    for body in (COMMENT, ASK, DECIDE):
        book.carry_out(command(case, body))
    report = verify(trail.url, READER, (KEY.verifier,))
    assert report.findings == ()
    assert report.size == 6


def test_the_log_is_read_between_two_positions(book: CaseBook, trail: Trail) -> None:
    trail.append(an_event())
    case = receive(book, an_alert())
    book.carry_out(command(case, Comment(text="hm")))
    assert [event.position for event in log(trail)] == [1, 2, 3, 4]
    with trail.reader.transaction(read_only=True) as connection:
        [event] = read_aggregate_events(connection, 3, 4)
    assert (event.stream, event.version, event.topic) == (case, 2, "case.commented")
    assert isinstance(event.state, bytes)
