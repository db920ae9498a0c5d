"""A path prefix: clients reach the API below it, whether or not the proxy removes it, and no rule is bypassed by it."""

from __future__ import annotations

import httpx2
import pytest

from tests.web.conftest import Serve


@pytest.fixture
def client(serve: Serve, trail_url: str) -> httpx2.Client:
    return serve(trail_url, path_prefix="/audit/api", pages=True)


@pytest.mark.parametrize("sent", ["", "/audit/api"])
def test_links_contain_the_prefix_and_lead_on(client: httpx2.Client, sent: str) -> None:
    first = client.get(f"{sent}/v1/events", params={"first": 2})
    link = first.json()["next"]
    assert link.startswith("/audit/api/v1/events?")
    assert f"<{link}>" in first.headers["link"]
    second = client.get(link)
    assert second.status_code == 200
    assert second.json()["previous"].startswith("/audit/api/v1/events?")
    events = client.get("/v1/events", params={"first": 100}).json()["events"]
    patient = next(each["event"]["patients"][0]["id"] for each in events if each["event"].get("patients"))
    related = client.get(f"{sent}/v1/patients/{patient}").links["related"]["url"]
    assert related.startswith("/audit/api/v1/events?")
    assert client.get(related).status_code == 200


def test_the_document_names_the_prefix_as_its_server(client: httpx2.Client) -> None:
    assert client.get("/audit/api/openapi.json").json()["servers"] == [{"url": "/audit/api"}]


def test_pages_load_their_files_below_the_prefix(client: httpx2.Client) -> None:
    html = {"Accept": "text/html"}
    for path in ("graphql", "docs"):
        page = client.get(f"/audit/api/{path}", headers=html)
        files = [part.split('"')[0] for part in page.text.split('="') if part.startswith("static/")]
        assert files
        for file in files:  # relative to the page
            assert client.get(f"/audit/api/{file}").status_code == 200, file
    assert "/graphql" not in client.get("/audit/api/static/graphiql/page.js").text.replace(
        "/graphql#token", ""
    )
    assert '"openapi.json"' in client.get("/audit/api/static/swagger-ui/page.js").text


@pytest.mark.parametrize(
    "path",
    [
        "/audit/api/v1/events",
        "/v1/events",
        "/audit/api/audit/api/healthz",
        "/audit/api/audit/api/v1/events",
        "/audit/ap%69/v1/events",
        "/audit/apiv1/events",
        "/audit/api//v1/events",
        "/audit/api",
    ],
)
def test_without_a_token_a_path_below_the_prefix_is_refused(client: httpx2.Client, path: str) -> None:
    assert client.get(path, headers={"Authorization": ""}).status_code == 401


def test_the_prefix_is_removed_once_and_only_as_it_is_written(client: httpx2.Client) -> None:
    assert client.get("/audit/api/healthz", headers={"Authorization": ""}).status_code == 200
    for path in ("/audit/api/audit/api/v1/events", "/audit/ap%69/v1/events", "/audit/apiv1/events"):
        assert client.get(path).status_code == 404


def test_the_limits_of_a_path_hold_below_the_prefix(client: httpx2.Client) -> None:
    body = b"[" + b" " * (300 * 1024) + b"]"
    headers = {"Content-Type": "application/json"}
    assert client.post("/audit/api/graphql", content=body, headers=headers).status_code == 413
    assert client.post("/audit/api/v1/events", content=body, headers=headers).status_code == 400
