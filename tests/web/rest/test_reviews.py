"""Reviews over HTTP: who reads them, and what becomes of commands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg2
import pytest

from audit_trail.reviews.worker import ReviewWorker
from domain.access.principal import Role
from tests.databases import PROJECTED, Databases
from tests.detection.live.logs import detect
from tests.detection.reviews.given_reviews import NOW, a_book, accesses
from tests.queries.detection.given_reviews import SEEN
from tests.tokens import bearer
from tests.trail import Trail
from tests.waiting import eventually
from tests.web.conftest import servers
from web.rest import commands

PAUL = bearer("privacy_officer", subject="paul")
RITA = bearer("reviewer", subject="rita")
ROB = bearer("reviewer", subject="rob")
SEE = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ADMIN}
RUN = {Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ADMIN}
BEGIN: dict[str, Any] = {
    "name": "Accesses of spring",
    "purpose": "The yearly review.",
    "reviewed": "events",
    "reviewers": [{"id": "rita"}, {"id": "rob"}],
    "due_at": (NOW + timedelta(days=30)).isoformat(),
    "sample_size": 10,
    "filter": {"type": ["record.read"]},
}
DECIDE = {"verdict": "justified", "reason": "On duty.", "seconds": 40}
REASSIGN = {"reviewer": {"id": "olga"}, "reason": "A leave."}


class Installation:
    """A server, and what carries out commands beside it, on a trail with four accesses."""

    def __init__(self, trail: Trail, client: httpx2.Client, worker: ReviewWorker) -> None:
        self.trail = trail
        self.client = client
        self.worker = worker

    def get(self, path: str, headers: dict[str, str] = PAUL) -> httpx2.Response:
        return self.client.get(path, headers=headers)

    def post(
        self, path: str, body: Any, headers: dict[str, str] = PAUL, key: UUID | None = None
    ) -> httpx2.Response:
        """Give a command, and show its result."""
        answer = self.client.post(path, json=body, headers=headers | {"Idempotency-Key": str(key or uuid4())})
        detect(self.trail)
        return answer

    def begun(self, **fields: Any) -> str:
        """The path of a new review."""
        answer = self.post("/v1/reviews", BEGIN | fields)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])


@pytest.fixture(scope="module")
def installation(databases: Databases) -> Iterator[Installation]:
    with ExitStack() as stack:
        trail = stack.enter_context(closing(Trail(stack.enter_context(databases.copy(PROJECTED)))))
        accesses(trail, SEEN)
        worker = ReviewWorker(trail.ingest, stack.enter_context(closing(a_book(trail))))
        serve = stack.enter_context(servers())
        worker.start()
        stack.callback(worker.stop)
        yield Installation(trail, serve(trail.url), worker)


@pytest.fixture(scope="module")
def review(installation: Installation) -> str:
    """The path of a review of which nobody decides anything."""
    return installation.begun()


def test_each_role_reads_what_it_may(installation: Installation, review: str) -> None:
    for role in Role:
        for path in ("/v1/reviews", review, f"{review}/items", f"{review}/items/1"):
            answer = installation.get(path, bearer(role.value))
            # A reviewer without items sees that there is none.
            missing = 200 if path == "/v1/reviews" else 404
            expected = 200 if role in SEE else missing if role is Role.REVIEWER else 403
            assert answer.status_code == expected, (role, path, answer.text)


def test_each_role_gives_the_commands_of_its_rights(installation: Installation, review: str) -> None:
    for role in set(Role) - RUN:
        headers = bearer(role.value)
        for path, body in (
            ("/v1/reviews", BEGIN),
            (f"{review}/close", {"reason": "Enough."}),
            (f"{review}/items/1/reassign", REASSIGN),
        ):
            assert installation.post(path, body, headers).status_code == 403, (role, path)
    for role in Role:
        assert installation.post(f"{review}/items/1/decide", DECIDE, bearer(role.value)).status_code == 403
    about_herself = installation.post(f"{review}/items/2/decide", DECIDE, RITA)
    of_rob = installation.post(f"{review}/items/4/decide", DECIDE, RITA)
    about_the_officer = installation.post(f"{review}/items/3/reassign", REASSIGN)
    assert {each.status_code for each in (about_herself, of_rob, about_the_officer)} == {403}
    assert installation.get(review).json()["review"]["decided"] == 0


def test_a_review_from_its_beginning_to_its_result(installation: Installation) -> None:
    get, post = installation.get, installation.post
    key = uuid4()
    begun = post("/v1/reviews", BEGIN, key=key)
    assert (begun.status_code, begun.json()["kind"], begun.json()["state"]) == (201, "begin_review", "done")
    path = begun.headers["location"]
    assert post("/v1/reviews", BEGIN, key=key).json() == begun.json()
    mine = get(f"{path}/items?mine=true&first=1", RITA).json()
    assert [each["item"] for each in mine["items"]] == [1]
    assert [each["item"] for each in get(mine["next"], RITA).json()["items"]] == [3]
    shown = get(f"{path}/items/1", RITA).json()
    assert (shown["item"]["what"], shown["events"][0]["event"]["actor"]["id"]) == (
        "record.read by ada",
        "ada",
    )
    decided = post(f"{path}/items/1/decide", DECIDE, RITA)
    assert decided.status_code == 200, decided.text
    corrected = post(f"{path}/items/1/decide", DECIDE | {"verdict": "policy_breach"}, RITA).json()
    item = get(f"{path}/items/1?wait_for_position={corrected['position']}", RITA).json()["item"]
    assert (item["verdict"], item["decisions"], item["seconds"]) == ("policy_breach", 2, 40)
    assert (
        post(f"{path}/items/4/reassign", {"reviewer": {"id": "rita"}, "reason": "A leave."}).status_code
        == 200
    )
    assert [each["item"] for each in get(f"{path}/items", RITA).json()["items"]] == [1, 3, 4]
    assert [each["item"] for each in get(f"{path}/items", ROB).json()["items"]] == [2]
    assert post(f"{path}/close", {"reason": "Enough was seen."}).status_code == 200
    late = post(f"{path}/items/4/decide", DECIDE, RITA)
    assert (late.status_code, "this review is closed" in late.json()["detail"]) == (409, True)
    found = get(path, bearer("auditor")).json()
    assert (found["review"]["state"], found["review"]["close_reason"]) == ("closed", "Enough was seen.")
    assert found["verdicts"] == [{"verdict": "policy_breach", "items": 1}]
    listed = get("/v1/reviews?state=closed&kind=events&overdue=false").json()["reviews"]
    assert [each["review_id"] for each in listed] == [path.rpartition("/")[2]]
    assert get(f"/v1/case-commands/{key}").json() == begun.json()


def test_two_reviewers_decide_at_once(installation: Installation) -> None:
    path = installation.begun()
    answers: list[httpx2.Response] = []

    def decide(headers: dict[str, str], item: int) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        answers.append(
            installation.client.post(f"{path}/items/{item}/decide", json=DECIDE, headers=headers | key)
        )

    pairs = ((RITA, 1), (ROB, 2), (RITA, 3), (ROB, 4), (RITA, 2), (ROB, 1))
    reviewers = [threading.Thread(target=decide, args=pair) for pair in pairs]
    for each in reviewers:
        each.start()
    for each in reviewers:
        each.join()
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 200, 403, 403]
    detect(installation.trail)
    assert installation.get(path).json()["review"]["decided"] == 4


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("", BEGIN | {"reviewers": []}, 400, "reviewers"),
        ("", BEGIN | {"reviewers": [{"id": "rita"}] * 2}, 400, "reviewers"),
        ("", BEGIN | {"kind": "begin_review"}, 400, "kind"),
        ("", BEGIN | {"filter": {"types": ["record.read"]}}, 400, "filter.types"),
        ("", BEGIN | {"filter": {"type": ["no.such"]}}, 400, None),
        ("", BEGIN | {"filter": {"patient": ["nobody"]}}, 409, ""),
        ("", BEGIN | {"due_at": "2020-01-01T00:00:00Z"}, 409, "due_at"),
        ("", BEGIN | {"seed": "xyz"}, 400, "seed"),
        ("/items/1/decide", DECIDE | {"item": 1}, 400, "item"),
        ("/items/1/reassign", {"reviewer": {"id": "ada"}, "reason": "x"}, 409, "reviewer"),
        ("/items/9/reassign", REASSIGN, 409, "item"),
        ("/items/0/reassign", REASSIGN, 400, None),
        ("/close", {"reason": " "}, 400, "reason"),
        ("/delete", {}, 404, None),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(
    installation: Installation, review: str, path: str, body: Any, status: int, field: str | None
) -> None:
    answer = installation.post(f"{review}{path}" if path else "/v1/reviews", body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field


def test_an_officer_reviews_nothing_that_is_hidden_from_them(installation: Installation) -> None:
    body = BEGIN | {"filter": {"patient": ["DOE^JANE"]}}
    assert installation.post("/v1/reviews", body, bearer("security_officer")).status_code == 403
    assert installation.post("/v1/reviews", body).status_code == 409  # nothing matches


def test_wrong_addresses_are_refused(installation: Installation, review: str) -> None:
    get = installation.get
    for path in (
        "/v1/reviews?after=cDE6MQ",
        "/v1/reviews?state=done",
        f"{review}/items?verdict=guilty",
        f"{review}/items/0",
        "/v1/reviews?who=me",
    ):
        assert get(path).status_code == 400, path
    other = installation.begun()
    cursor = get(f"{other}/items?first=1").json()["next"].partition("after=")[2]
    assert get(f"{review}/items?first=1&after={cursor}").status_code == 409
    for path in (f"/v1/reviews/{uuid4()}", f"/v1/reviews/{uuid4()}/items", f"{review}/items/99"):
        assert get(path).status_code == 404, path
    unknown = installation.post(f"/v1/reviews/{uuid4()}/close", {"reason": "x"})
    assert unknown.status_code == 404
    assert get("/v1/reviews?min_position=100000").status_code == 409


def test_without_a_worker_the_answer_says_where_to_ask_later(
    installation: Installation, review: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SECONDS", 0.0)
    with closing(psycopg2.connect(installation.trail.url)) as connection, connection.cursor() as cursor:
        # The worker takes no command while this lock lasts.
        cursor.execute("LOCK TABLE audit_trail.operation_worker IN EXCLUSIVE MODE")
        answer = installation.post(f"{review}/items/1/reassign", {"reviewer": {"id": "rita"}, "reason": "x"})
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    place = answer.headers["location"]
    eventually(lambda: installation.get(place).json()["state"] == "done")
