"""The log under a witness policy: what it serves as its checkpoint, its policy, and its proofs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from event_store.database import GUARD, READER, Database
from event_store.heads import add_cosignature, newest_head
from event_store.log_reader import LogReader
from event_store.merkle import leaf_hash
from event_store.tlog.keys import COSIGNATURE_V1, ML_DSA_44, SigningKey
from event_store.tlog.notes import Note, verified
from event_store.tlog.policy import Policy
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.proofs import verify_inclusion
from event_store.tlog.tree_heads import open_head
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.read_models import ReadModels
from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY
from tests.tokens import ADMIN, authentication
from tests.web.conftest import NO_BROKER, Serve, serving
from tests.web.rest.transparency_log import ORIGIN
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

WITNESSES = [
    SigningKey.generate(f"w{n}.example", (COSIGNATURE_V1, ML_DSA_44, COSIGNATURE_V1)[n]) for n in range(3)
]
TEXT = (
    f"# the policy of the tests\nlog {KEY.verifier.encode()}\n"
    + "".join(f"witness W{n} {key.verifier.encode()}\n" for n, key in enumerate(WITNESSES))
    + "group G 2 W0 W1 W2\nquorum G\n"
).encode()
POLICY = Policy.parse(TEXT)


@pytest.fixture
def log(hospital_url: str) -> Log:
    return Log(hospital_url, [])


@pytest.fixture
def client(log: Log) -> Iterator[httpx2.Client]:
    """A client of a server of a public log with the policy."""
    with (
        closing(Database(log.url, READER, size=4)) as database,
        closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher,
    ):
        app = create_app(
            ReadModels(database),
            LogReader(database, POLICY),
            publisher,
            StoreProbes(database),
            WebSettings(public_log=True),
            authentication=authentication(),
        )
        with serving(app) as client:
            yield client


def cosign(log: Log, *keys: SigningKey) -> int:
    """Cosign the newest head; returns its size."""
    with closing(Database(log.url, GUARD)) as database, database.transaction() as connection:
        head = newest_head(connection)
        assert head is not None
        for key in keys:
            line = key.sign_at(Note.parse(head.note).text, 1_700_000_000).line()
            add_cosignature(connection, head.size, key.verifier, line)
    return head.size


def served(client: httpx2.Client, path: str) -> tuple[int, list[str]]:
    """The size of a served head, and the witnesses that have cosigned it."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    head, note = open_head(answer.content, [KEY.verifier], ORIGIN)
    return head.size, [key.name for key in verified(note, [key.verifier for key in WITNESSES])]


def test_the_checkpoint_of_a_growing_log_always_satisfies_the_policy(log: Log, client: httpx2.Client) -> None:
    size = cosign(log, *WITNESSES[:2])
    for added in range(4):
        assert served(client, "/log/checkpoint") == (size, ["w0.example", "w1.example"])
        assert served(client, "/log/newest-checkpoint")[0] == size + added
        log.add(1)
        cosign(log, WITNESSES[2])  # one of three is no quorum, and is newer
    newest = cosign(log, WITNESSES[1])
    assert served(client, "/log/checkpoint") == (newest, ["w1.example", "w2.example"])
    tile = client.get(f"/log/tile/0/000.p/{size}")
    assert (tile.status_code, len(tile.content)) == (200, 32 * size)


def test_without_a_head_that_satisfies_the_policy_the_log_says_so(log: Log, client: httpx2.Client) -> None:
    cosign(log, WITNESSES[0])
    answer = client.get("/log/checkpoint")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "no signed head satisfies the witness policy yet" in answer.json()["detail"]
    assert served(client, "/log/newest-checkpoint")[1] == ["w0.example"]


def test_the_policy_is_published_as_it_is_written(client: httpx2.Client) -> None:
    answer = client.get("/log/policy")
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_log_without_a_policy_publishes_none(trail_url: str, serve: Serve) -> None:
    client = serve(trail_url)
    assert client.get("/log/policy").status_code == 404
    assert client.get("/log/newest-checkpoint").content == client.get("/log/checkpoint").content


def test_a_proof_leads_to_the_newest_head_that_satisfies_the_policy(log: Log, client: httpx2.Client) -> None:
    size = cosign(log, *WITNESSES[:2])
    events = client.get("/v1/events?first=100", headers={"Authorization": ADMIN["Authorization"]}).json()
    event_id = events["events"][0]["event"]["event_id"]
    log.add(1)
    cosign(log, WITNESSES[0])
    for query, expected in (("", size), ("?head=newest", size + 1)):
        answer = client.get(f"/v1/events/{event_id}/proof{query}", headers=ADMIN)
        assert answer.status_code == 200, answer.text
        proof = parse_proof(answer.content)
        head, note = open_head(proof.note, [KEY.verifier], ORIGIN)
        assert head.size == expected
        assert proof.extra is not None
        verify_inclusion(proof.index, head.size, leaf_hash(proof.extra), proof.hashes, head.root)
        cosigners = verified(note, [key.verifier for key in WITNESSES])
        assert POLICY.is_satisfied_by(cosigners) is (expected == size)
    assert client.get(f"/v1/events/{event_id}/proof?head=oldest", headers=ADMIN).status_code == 400


def test_a_proof_that_would_fail_the_policy_is_not_given_in_silence(log: Log, client: httpx2.Client) -> None:
    events = client.get("/v1/events?first=1", headers=ADMIN).json()["events"]
    event_id = events[0]["event"]["event_id"]
    cosign(log, WITNESSES[0])
    answer = client.get(f"/v1/events/{event_id}/proof", headers=ADMIN)
    assert answer.status_code == 503
    assert "satisfies the witness policy yet" in answer.json()["detail"]
    assert client.get(f"/v1/events/{event_id}/proof?head=newest", headers=ADMIN).status_code == 200


@pytest.mark.parametrize(
    "path", ["/log/policy", "/log/vkey", "/log/tile/0/000.p/1", "/log/tile/9", "/log/checkpoint"]
)
def test_browsers_read_the_public_log_from_any_page(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, headers={"Origin": "https://monitor.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_nothing_else_is_open_to_any_page(client: httpx2.Client, serve: Serve, trail_url: str) -> None:
    from_page = {"Origin": "https://monitor.example", **ADMIN}
    for path in ("/v1/events", "/healthz", "/openapi.json", "/logs"):
        assert "access-control-allow-origin" not in client.get(path, headers=from_page).headers
    assert "access-control-allow-origin" not in client.post("/log/policy", headers=from_page).headers
    preflight = client.options(
        "/log/checkpoint", headers={**from_page, "Access-Control-Request-Method": "GET"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "Authorization" not in preflight.headers["access-control-allow-headers"]
    private = serve(trail_url)
    assert "access-control-allow-origin" not in private.get("/log/vkey", headers=from_page).headers
