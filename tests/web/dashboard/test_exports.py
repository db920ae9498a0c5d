"""Exports as jobs: what is in the file, who gets it, what is recorded, and how a job ends."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pyarrow.parquet as pq
import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.tansu import TansuBroker
from audit_trail.serving.development_pages import PERSONAS, Persona
from tests.databases import HOSPITAL, Databases, away
from tests.waiting import eventually
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic, patients

RANGE = {"from": "2026-03-01T00:00:00+00:00", "to": "2026-03-02T00:00:00+00:00"}
API = {"occurred_from": RANGE["from"], "occurred_until": RANGE["to"]}
TOPIC = "export-jobs"


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(HOSPITAL) as url:
        yield url


@pytest.fixture(scope="module")
def served(url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRecord]:
    """One dashboard for the whole file."""
    make_topic(broker.bootstrap_servers, TOPIC)
    with dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture
def auditor(served: OnRecord) -> Iterator[Browser]:
    with signed_in(served, "auditor") as browser:
        yield browser


@contextmanager
def signed_in(served: OnRecord, persona: str) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in(persona, "/exports")
        browser.headers.update(FROM_PAGE)
        yield browser


def start(browser: Browser, format: str = "ndjson", **pairs: str) -> str:
    """Start a job, and return its id."""
    before = set(ids(browser))
    answer = browser.post("/exports", data={**pairs, **RANGE, "format": format})
    assert answer.status_code == 200, answer.text
    [id] = set(ids(browser)) - before
    return id


def ids(browser: Browser) -> list[str]:
    return re.findall(r"/exports/([0-9a-f]{48})/(?:file|cancel|delete)", browser.get("/exports").text)


def ended(browser: Browser, id: str) -> str:
    """The job's part of the page, once the job has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        [part] = [each for each in browser.get("/exports").text.split("<li") if f"/exports/{id}/" in each]
        if f"/exports/{id}/cancel" not in part:
            return unescape(re.sub(r"<[^>]+>|\s+", " ", part))
        time.sleep(0.05)
    pytest.fail("the job did not end")


def shown(browser: Browser, text: str, times: int) -> None:
    """Wait until the page says it so often."""
    until = time.monotonic() + 20
    while (found := browser.get("/exports").text.count(text)) != times:
        assert time.monotonic() < until, found
        time.sleep(0.05)


def exported(browser: Browser, format: str = "ndjson", **pairs: str) -> httpx2.Response:
    id = start(browser, format, **pairs)
    said = ended(browser, id)
    answer = browser.get(f"/exports/{id}/file")
    assert answer.status_code == 200, said
    digest = hashlib.sha256(answer.content).hexdigest()
    assert digest in said
    return answer


def api(browser: Browser, path: str, **query: str) -> httpx2.Response:
    answer = browser.get(path, params={**query, **API}, headers={"Accept": "*/*"})
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize(
    "persona", ["auditor", "analyst", "security-officer", "device-manager", "patient-17"]
)
@pytest.mark.parametrize("query", [{}, {"outcome": "success"}])
def test_the_rows_are_those_that_the_role_gets_of_the_api(
    served: OnRecord, persona: str, query: dict[str, str]
) -> None:
    with signed_in(served, persona) as browser:
        events = api(browser, "/v1/events", **query).json()["events"]
        lines = exported(browser, "ndjson", **query).text.splitlines()
    assert events
    assert [json.loads(line) for line in lines] == events[::-1]


def test_csv_and_parquet_are_those_of_the_stream(auditor: Browser) -> None:
    answer = exported(auditor, "csv", patient="17")
    assert answer.content == api(auditor, "/v1/export", patient="17", format="csv").content
    assert [row[0] for row in csv.reader(io.StringIO(answer.text))][1:] == ["2", "3", "5", "6"]
    table = pq.read_table(io.BytesIO(exported(auditor, "parquet", patient="17").content))
    stream = api(auditor, "/v1/export", patient="17", format="parquet").content
    assert table.equals(pq.read_table(io.BytesIO(stream)))
    assert re.fullmatch(
        r'attachment; filename="audit-trail-events-\d{8}T\d{6}Z\.csv"', answer.headers["content-disposition"]
    )
    assert answer.headers["cache-control"] == "no-store"


def test_a_kit_has_the_events_and_verifies_without_the_server(auditor: Browser, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(exported(auditor, "evidence", patient="17").content)) as kit:
        kit.extractall(tmp_path)
    [folder] = tmp_path.iterdir()
    lines = (folder / "events.ndjson").read_text(encoding="utf-8").splitlines()
    events = api(auditor, "/v1/events", patient="17").json()["events"]
    assert [json.loads(line)["position"] for line in lines] == [each["position"] for each in events[::-1]]
    checked = subprocess.run(
        [sys.executable, folder / "verify.py", folder], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 4, checked.stdout  # no fault: the key comes from the kit


def test_a_role_is_offered_what_it_may_have(served: OnRecord) -> None:
    with signed_in(served, "analyst") as analyst:
        page = analyst.get("/explore").text
        assert 'value="parquet"' in page
        assert 'value="evidence"' not in page
        assert "No evidence kit: it holds events as they were sealed" in page
        refused = analyst.post("/exports", data={**RANGE, "format": "evidence"})
        assert refused.status_code == 403
    with signed_in(served, "operator") as operator:
        assert operator.get("/exports").status_code == 403
        assert operator.post("/exports", data={**RANGE, "format": "csv"}).status_code == 403


def test_parquet_is_offered_where_pyarrow_is_installed(
    auditor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    page = auditor.get("/explore").text
    assert 'value="parquet"' not in page
    assert "audit-trail[export]" in page
    assert auditor.post("/exports", data={**RANGE, "format": "parquet"}).status_code == 409


@pytest.mark.parametrize("given", [{"format": "xls"}, {"format": "csv", "patinet": "17"}, {}])
def test_a_wrong_form_starts_nothing(auditor: Browser, given: dict[str, str]) -> None:
    before = ids(auditor)
    assert auditor.post("/exports", data={**RANGE, **given}).status_code == 400
    assert ids(auditor) == before


def test_a_page_of_another_site_starts_nothing(auditor: Browser) -> None:
    before = ids(auditor)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert auditor.post("/exports", data={**RANGE, "format": "csv"}, headers=foreign).status_code == 403
    assert ids(auditor) == before


def test_the_explorer_gives_its_filter_and_its_range(auditor: Browser) -> None:
    page = auditor.get("/explore?patient=17&not_type=record.updated&from=2026-03-01&to=2026-03-01&zone=UTC")
    [form] = re.findall(r'<form class="export".*?</form>', page.text, re.DOTALL)
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
    assert {name: unescape(value) for name, value in hidden.items()} == {
        "patient": "17", "not_type": "record.updated", **RANGE,
    }  # fmt: skip
    lines = exported(auditor, "ndjson", patient="17", not_type="record.updated").text.splitlines()
    assert [json.loads(line)["position"] for line in lines] == [2, 3, 5]


def test_nobody_else_gets_an_export(served: OnRecord, auditor: Browser) -> None:
    id = start(auditor, "csv")
    ended(auditor, id)
    for persona in ("privacy-officer", "analyst"):
        with signed_in(served, persona) as other:
            assert id not in other.get("/exports").text
            assert other.get(f"/exports/{id}/file").status_code == 404
            assert other.post(f"/exports/{id}/delete").status_code == 404
            assert other.post(f"/exports/{id}/cancel").status_code == 404
    assert auditor.get(f"/exports/{id}/file").status_code == 200


@pytest.mark.parametrize(
    "id", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "0" * 48, "lock", "%00", ".new-x", "a" * 5000]
)
def test_an_id_is_no_path(auditor: Browser, id: str) -> None:
    assert auditor.get(f"/exports/{id}/file").status_code == 404
    assert auditor.post(f"/exports/{id}/delete").status_code in {404, 405}


def test_who_has_lost_a_right_does_not_get_what_was_made_with_it(
    served: OnRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PERSONAS, "mover", Persona("", {"roles": ["auditor"], "name": "Mo"}))
    with signed_in(served, "mover") as before:
        id = start(before, "csv")
        ended(before, id)
    monkeypatch.setitem(PERSONAS, "mover", Persona("", {"roles": ["analyst"], "name": "Mo"}))
    with signed_in(served, "mover") as after:
        answer = after.get(f"/exports/{id}/file")
        assert answer.status_code == 403
        assert "rights that you don&#39;t have any more" in answer.text
        assert exported(after, "csv").status_code == 200
    monkeypatch.setitem(PERSONAS, "mover", Persona("", {"roles": ["admin", "clinician"], "name": "Mo"}))
    with signed_in(served, "mover") as promoted:
        assert promoted.get(f"/exports/{id}/file").status_code == 200


def test_its_start_its_patients_each_download_and_its_deletion_are_events(
    served: OnRecord, auditor: Browser
) -> None:
    id = start(auditor, "csv", outcome="success")
    ended(auditor, id)
    file = auditor.get(f"/exports/{id}/file").content
    auditor.get(f"/exports/{id}/file")
    auditor.post(f"/exports/{id}/delete")
    about = [each for each in served.events() if id in str(each)]
    stages = [
        (each.attributes.get("stage"), question["operation"], question["returned"], patients(each))
        for each in about
        for question in each.attributes.get("questions", [])
    ]
    rows = file.count(b"\r\n") - 1
    assert stages[:3] == [
        ("started", "export", 0, []),
        ("delivered", "export", rows, ["17", "18"]),
        ("ended", "export", rows, []),
    ]
    assert stages[3:] == [(None, "download_export", rows, [])] * 2
    [*_, download, deleted] = about
    asked = download.attributes["questions"][0]["asked"]
    assert (asked["format"], asked["filter"]["and"]) == ("csv", [{"outcome": ["success"]}])
    assert asked["sha256"] == hashlib.sha256(file).hexdigest()
    assert (deleted.type, deleted.actor.id, deleted.attributes["downloads"]) == (
        "export.deleted",
        "auditor",
        2,
    )
    assert auditor.get(f"/exports/{id}/file").status_code == 404
    assert not list(served.export_folder.glob(f"*{id}*"))


def test_a_running_job_can_be_cancelled(url: str, served: OnRecord, auditor: Browser) -> None:
    with blocked(url):
        id = start(auditor, "ndjson", patient="17")
        shown(auditor, ": Runs", 1)
        assert auditor.post(f"/exports/{id}/delete").status_code == 409
        auditor.post(f"/exports/{id}/cancel")
        assert "Cancelled" in ended(auditor, id)
    assert {each.name for each in (served.export_folder / id).iterdir()} == {"lock", "state.json"}
    ends = [e for e in served.events() if e.attributes.get("stage") == "ended" and id in str(e)]
    assert [e.outcome_reason for e in ends] == ["cut off"]


def test_a_person_has_five_at_once_and_two_of_them_run(url: str, auditor: Browser) -> None:
    with blocked(url):
        made = [start(auditor, "ndjson") for _ in range(5)]
        refused = auditor.post("/exports", data={**RANGE, "format": "csv"})
        assert (refused.status_code, "cancel one" in refused.text) == (409, True)
        shown(auditor, ": Runs", 2)
        shown(auditor, ": Waits for its turn", 3)
        for id in made:
            auditor.post(f"/exports/{id}/cancel")
        assert all("Cancelled" in ended(auditor, id) for id in made)
    assert exported(auditor, "csv").status_code == 200


def test_two_processes_on_one_folder_show_the_same_jobs(
    url: str, broker: Broker, served: OnRecord, auditor: Browser, tmp_path: Path
) -> None:
    folder = served.export_folder
    with (
        dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path, export_folder=folder) as second,
        signed_in(second, "auditor") as other,
    ):
        finished = start(auditor, "csv")
        ended(auditor, finished)
        there, here = (each.get(f"/exports/{finished}/file") for each in (other, auditor))
        assert (there.status_code, there.content) == (200, here.content)
        with blocked(url):
            running = start(auditor, "csv")
            assert f"/exports/{running}/cancel" in other.get("/exports").text
            other.post(f"/exports/{running}/cancel")
            assert "Cancelled" in ended(auditor, running)
        other.post(f"/exports/{finished}/delete")
        assert auditor.get(f"/exports/{finished}/file").status_code == 404


def test_a_job_without_room_fails_and_leaves_nothing(url: str, broker: Broker, tmp_path: Path) -> None:
    limits = {"most_bytes": 5_000}
    with (
        dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path, export_limits=limits) as small,
        signed_in(small, "auditor") as browser,
    ):
        id = start(browser, "ndjson")
        assert "all exports together may occupy 5000 bytes" in ended(browser, id)
        assert {each.name for each in (small.export_folder / id).iterdir()} == {"lock", "state.json"}
        assert browser.get(f"/exports/{id}/file").status_code == 404
        assert exported(browser, "ndjson", type="service.restarted").status_code == 200


def test_a_file_whose_time_is_over_is_deleted_and_that_is_an_event(
    url: str, broker: Broker, tmp_path: Path
) -> None:
    limits = {"keep": timedelta(seconds=1)}
    with (
        dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path, export_limits=limits) as served,
        signed_in(served, "auditor") as browser,
    ):
        id = start(browser, "csv")
        shown(browser, ": Expired", 1)
        assert browser.get(f"/exports/{id}/file").status_code == 404
    # The sweep is due at each start.
    with (
        dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path, export_limits=limits) as served,
        signed_in(served, "auditor") as browser,
    ):
        [deleted] = wait_for(
            lambda: [e for e in served.events() if e.type == "export.deleted" and id in str(e)]
        )
        assert (deleted.actor.id, deleted.attributes["why"]) == ("audit-trail", "expired")
        assert deleted.attributes["downloads"] == 0
        wait_for(lambda: not (served.export_folder / id / "data").exists())


def wait_for(check: Callable[[], Any]) -> Any:
    until = time.monotonic() + 20
    while not (found := check()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_nothing_goes_out_that_can_not_be_recorded(url: str, tmp_path: Path) -> None:
    broker = TansuBroker(log=tmp_path / "broker").start()
    try:
        make_topic(broker.bootstrap_servers, TOPIC)
        with (
            dashboard(url, broker.bootstrap_servers, TOPIC, tmp_path, timeout=1) as served,
            signed_in(served, "auditor") as browser,
        ):
            id = start(browser, "csv")
            ended(browser, id)
            broker.kill()
            assert browser.get(f"/exports/{id}/file").status_code == 503
            assert browser.post(f"/exports/{id}/delete").status_code == 503
            assert browser.post("/exports", data={**RANGE, "format": "csv"}).status_code == 503
            assert [each.name for each in served.export_folder.glob("[0-9a-f]*")] == [id]
            assert (served.export_folder / id / "data").stat().st_size
    finally:
        broker.stop()


@contextmanager
def blocked(url: str) -> Iterator[None]:
    """Nothing reads events: a job that runs stays in the middle."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_trail.event IN ACCESS EXCLUSIVE MODE")
        yield


def test_no_file_is_sent_while_the_trail_can_not_be_asked(
    databases: Databases, broker: Broker, tmp_path: Path
) -> None:
    """Another process may have ended the session, and only the trail knows."""
    make_topic(broker.bootstrap_servers, "export-away")
    with (
        databases.copy(HOSPITAL) as url,
        dashboard(url, broker.bootstrap_servers, "export-away", tmp_path) as served,
        signed_in(served, "auditor") as browser,
    ):
        address = f"/exports/{start(browser)}/file"
        eventually(lambda: browser.get(address).status_code == 200)
        with away(url):
            assert browser.get(address).status_code == 503
        assert browser.get(address).status_code == 200
