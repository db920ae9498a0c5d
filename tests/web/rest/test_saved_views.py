"""`GET /v1/views`: the views that somebody can open, page by page; and nobody reports events of views."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from domain.access.principal import Principal, Role
from domain.access.saved_view import TYPES, view_saved
from domain.catalogue import TRAIL_SERVICE
from domain.event import AuditEvent, Source
from tests.domain.access.knowing import somebody
from tests.tokens import bearer
from tests.trail import START, Trail
from tests.web.conftest import Serve
from tests.web.rest.publishing import native, published

ADA, EVA = somebody(Role.AUDITOR), somebody(Role.ADMIN)
AS_ADA = bearer("auditor", subject=ADA.id)


def view(name: str, shared: Role | None = None, by: Principal = EVA) -> AuditEvent:
    source = Source(service=TRAIL_SERVICE)
    return view_saved(name, "emergency=true", shared, by=by, owned=0, at=START, source=source)


def test_own_views_and_pages_of_shared_ones_are_listed(serve: Serve, trail: Trail) -> None:
    *_, position = trail.given(
        view("Mine", by=ADA),
        *(view(f"Ours {number}", Role.AUDITOR) for number in range(5)),
        view("Of others", Role.ANALYST),
        view("Hers"),
    )
    client = serve(trail.url)
    link, found = "/v1/views?first=2", []
    while link:
        answer = client.get(link, headers=AS_ADA)
        page = answer.json()
        [mine] = page["own"]
        assert (mine["name"], mine["owner"], mine["shared_with"], mine["version"]) == (
            "Mine",
            ADA.id,
            None,
            0,
        )
        assert page["as_of_position"] == position
        found += [(each["name"], each["filter"], each["owner"]) for each in page["shared"]]
        link = page["next"]
    assert found == [(f"Ours {number}", "emergency=true", EVA.id) for number in range(5)]
    tag = client.get("/v1/views", headers=AS_ADA).headers["etag"]
    assert client.get("/v1/views", headers=AS_ADA | {"If-None-Match": tag}).status_code == 304
    assert client.get("/v1/views", headers=bearer("operator")).status_code == 403
    [error] = client.get("/v1/views?after=djE6eA", headers=AS_ADA).json()["errors"]
    assert (error["field"], error["message"]) == ("after", "not a cursor of saved views; follow the links")


def test_an_answer_includes_a_view_whose_position_is_waited_for(serve: Serve, trail: Trail) -> None:
    client = serve(trail.url)
    [position] = trail.append(view("Mine", by=ADA))
    asked = {"min_position": position}
    assert client.get("/v1/views", params=asked, headers=AS_ADA).status_code == 409
    trail.project()
    assert client.get("/v1/views", params=asked, headers=AS_ADA).json()["own"][0]["name"] == "Mine"


@pytest.mark.parametrize("type", TYPES)
def test_nobody_reports_events_of_views(
    publishing_client: httpx2.Client, broker: Broker, topic: str, type: str
) -> None:
    forged = native(
        type=type,
        actor={"id": ADA.id},
        resources=[{"type": "SavedView", "id": str(uuid4())}],
        changes=[{"path": "name", "after": "Forged"}],
    )
    for service in (TRAIL_SERVICE, "patient-service"):
        event = forged | {"source": {"service": service}}
        for claims in ({}, {"sources": [service]}):
            answer = publishing_client.post(
                "/v1/events", json=event, headers=bearer("publisher", subject="forger", **claims)
            )
            assert answer.status_code == 403
    # The topic holds what is accepted alone.
    accepted = native()
    assert publishing_client.post("/v1/events", json=accepted).status_code == 202
    [(value, _)] = published(broker, topic, 1)
    assert accepted["event_id"].encode() in value
