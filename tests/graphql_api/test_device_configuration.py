"""The configuration of a device as of a time, in GraphQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.event import Change, Device
from queries.cursors import encode_history_cursor
from queries.read_models import ReadModels
from tests.graphql_api.answers import codes
from tests.graphql_api.conftest import Execute
from tests.hospital import at, event, record

QUERY = """query ($asOf: DateTime, $first: Int, $after: String) { device(id: "pump-1") {
  configurationAt(asOf: $asOf, first: $first, after: $after) {
    asOf asOfPosition nodes { path value since changedBy fromLaterChange position eventId }
    edges { cursor node { path } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


def page(result: Any) -> dict[str, Any]:
    assert result.errors is None, result.errors
    found: dict[str, Any] = result.data["device"]["configurationAt"]
    return found


def test_it_has_the_values_at_the_time(execute: Execute, models: ReadModels) -> None:
    before = page(execute(models, QUERY, asOf="2026-03-01T08:06:59Z"))
    after = page(execute(models, QUERY, asOf="2026-03-01T08:07:00Z"))
    assert before["asOf"] == at(7) - timedelta(seconds=1)
    [old], [new] = before["nodes"], after["nodes"]
    assert (old["path"], old["value"], old["since"], old["changedBy"], old["fromLaterChange"]) == (
        "limit", 5, None, None, True,
    )  # fmt: skip
    assert (new["value"], new["since"], new["changedBy"], new["fromLaterChange"]) == (
        7, at(7), "ada", False,
    )  # fmt: skip
    assert (old["position"], old["eventId"]) == (new["position"], new["eventId"])
    told = execute(models, "query ($id: UUID!) { event(id: $id) { position } }", id=str(new["eventId"])).data
    assert told == {"event": {"position": new["position"]}}


def test_pages_follow_each_other(execute: Execute, models: ReadModels, hospital_url: str) -> None:
    changes = tuple(Change(path=f"p{number}", after=number) for number in range(4))
    record(hospital_url, [event("configuration.changed", 30, device=Device(id="pump-1"), changes=changes)])
    found: list[str] = []
    cursor = None
    for more in (True, True, False):
        got = page(execute(models, QUERY, first=2, after=cursor, asOf="2026-03-02T00:00:00Z"))
        assert got["pageInfo"]["hasNextPage"] is more
        assert got["pageInfo"]["hasPreviousPage"] is (cursor is not None)
        assert [edge["node"]["path"] for edge in got["edges"]] == [node["path"] for node in got["nodes"]]
        found += [node["path"] for node in got["nodes"]]
        # The cursor of an edge continues behind that edge.
        assert got["pageInfo"]["endCursor"] in {None, got["edges"][-1]["cursor"]}
        cursor = got["pageInfo"]["endCursor"]
    assert found == ["limit", "p0", "p1", "p2", "p3"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"first": 0}, "BAD_USER_INPUT"),
        ({"first": 101}, "LIMIT_EXCEEDED"),
        ({"after": "x"}, "BAD_CURSOR"),
        ({"after": encode_history_cursor(7, 0)}, "BAD_CURSOR"),
        ({"after": "YzE6MDow"}, "BAD_CURSOR"),
        ({"asOf": "2026-03-01T08:07:00"}, "BAD_USER_INPUT"),
        ({"asOf": "yesterday"}, "BAD_USER_INPUT"),
    ],
)
def test_a_wrong_argument_is_refused(
    execute: Execute, models: ReadModels, arguments: dict[str, Any], code: str
) -> None:
    assert codes(execute(models, QUERY, **arguments)) == [code]


def test_a_failed_change_is_listed_with_its_outcome(
    execute: Execute, models: ReadModels, hospital_url: str
) -> None:
    failed = event(
        "configuration.changed",
        30,
        device=Device(id="pump-1"),
        changes=(Change(path="limit", before=7, after=9),),
        outcome="minor_failure",
    )
    record(hospital_url, [failed])
    query = '{ device(id: "pump-1") { configuration { after outcome } configurationAt { nodes { value } } } }'
    assert execute(models, query).data == {
        "device": {
            "configuration": [
                {"after": 9, "outcome": "MINOR_FAILURE"},
                {"after": 7, "outcome": "SUCCESS"},
            ],
            "configurationAt": {"nodes": [{"value": 7}]},
        }
    }
