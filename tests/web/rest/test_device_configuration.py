"""The configuration of a device as of a time, over REST."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from domain.event import Change, Device
from tests.hospital import event, record

PATH = "/v1/devices/pump-1/configuration"


def test_it_has_the_values_at_the_time_and_the_event_that_tells_each(client: httpx2.Client) -> None:
    told = client.get("/v1/events?type=configuration.changed").json()["events"][0]
    known = {"path": "limit", "position": told["position"], "event_id": told["event"]["event_id"]}
    before = client.get(f"{PATH}?as_of=2026-03-01T08:06:59Z").json()
    after = client.get(f"{PATH}?as_of=2026-03-01T09:07:00%2B01:00").json()
    assert before == {
        "as_of": "2026-03-01T08:06:59Z",
        "values": [known | {"value": 5, "since": None, "changed_by": None, "from_later_change": True}],
        "as_of_position": 9,
        "next": None,
    }
    assert after["as_of"] == "2026-03-01T08:07:00Z"
    assert after["values"] == [
        known | {"value": 7, "since": "2026-03-01T08:07:00Z", "changed_by": "ada", "from_later_change": False}
    ]
    assert client.get(PATH).json()["values"] == after["values"]


def test_pages_follow_each_other_at_one_time(own_client: httpx2.Client, trail_url: str) -> None:
    changes = tuple(Change(path=f"setting {number}", after=number) for number in range(5))
    record(trail_url, [event("configuration.changed", 30, device=Device(id="pump-1"), changes=changes)])
    found: list[Any] = []
    times: set[str] = set()
    path: str | None = f"{PATH}?first=2"
    while path is not None:
        answer = own_client.get(path)
        page = answer.json()
        assert ('rel="next"' in answer.headers.get("link", "")) is (page["next"] is not None)
        assert len(page["values"]) <= 2
        found += [(each["path"], each["value"]) for each in page["values"]]
        times.add(page["as_of"])
        path = page["next"]
    assert found == [("limit", 7), *((each.path, each.after) for each in changes)]
    assert len(times) == 1


def test_an_answer_that_the_client_has_is_304(client: httpx2.Client) -> None:
    path = f"{PATH}?as_of=2026-03-01T09:00:00Z"
    tag = client.get(path).headers["etag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_a_device_that_no_event_names_is_404_and_an_id_may_hold_a_slash(client: httpx2.Client) -> None:
    for id in ("none", "Device/pump-1", "Device%2Fpump-1"):
        answer = client.get(f"/v1/devices/{id}/configuration")
        assert (answer.status_code, answer.json()["detail"]) == (404, "no event names this device")


def test_it_can_be_waited_for(client: httpx2.Client) -> None:
    assert client.get(f"{PATH}?min_position=9").status_code == 200
    assert client.get(f"{PATH}?min_position=10").status_code == 409


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("as_of=2026-03-01T08:00:00", "as_of"),
        ("as_of=1772000000", "as_of"),
        ("first=0", "first"),
        ("first=101", "first"),
        ("after=x", "after"),
        ("after=YzE6MDow!", "after"),
        ("asof=2026-03-01T08:00:00Z", "asof"),
    ],
)
def test_a_wrong_parameter_is_named(lonely_client: httpx2.Client, query: str, field: str) -> None:
    answer = lonely_client.get(f"{PATH}?{query}")
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_cursor_of_another_device_conflicts(client: httpx2.Client) -> None:
    answer = client.get(f"{PATH}?after=YzE6MDow")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "after")
