"""Proofs over GraphQL and as files: they verify against the head of the same answer, or are refused."""

from __future__ import annotations

import base64
from hashlib import sha256

import httpx2

from event_store.merkle import leaf_hash
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.proofs import verify_consistency, verify_inclusion
from event_store.tlog.tree_heads import open_head
from queries.limits import QueryLimits
from tests.event_store.verify.tampered_log import Log
from tests.hospital import hospital
from tests.signing import KEY
from tests.web.conftest import Serve
from tests.web.rest.transparency_log import ORIGIN, ask, graphql


def test_a_proof_file_shows_offline_that_an_event_is_in_the_log(client: httpx2.Client) -> None:
    for listed in client.get("/v1/events").json()["events"]:
        event_id = listed["event"]["event_id"]
        answer = client.get(f"/v1/events/{event_id}/proof")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="{event_id}.tlog-proof"'
        proof = parse_proof(answer.content)
        assert proof.index == listed["position"]
        assert proof.extra is not None
        signed, _ = open_head(proof.note, [KEY.verifier], ORIGIN)
        verify_inclusion(proof.index, signed.size, leaf_hash(proof.extra), proof.hashes, signed.root)
        assert proof.extra.split(b"\n")[2].decode() == event_id.replace("-", "")
        assert client.head(f"/v1/events/{event_id}/proof").status_code == 200
    missing = client.get(f"/v1/events/{hospital()[0].event_id}/proof")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    assert client.get("/v1/events/x/proof").status_code == 400


PROOFS = """query ($size: Long) {
  treeHead { origin size rootHash checkpoint cosignedBy signedAt }
  events(first: 10) { nodes {
    position eventId inclusionProof(treeSize: $size) { leafIndex treeSize leafHash hashes rootHash entry }
  } }
}"""


def decoded(*texts: str) -> list[bytes]:
    return [base64.b64decode(text, validate=True) for text in texts]


def test_the_proofs_of_a_page_verify_against_the_head_of_the_same_answer(client: httpx2.Client) -> None:
    data = ask(client, PROOFS)
    shown = data["treeHead"]
    signed, _ = open_head(shown["checkpoint"].encode(), [KEY.verifier], ORIGIN)
    assert (shown["origin"], shown["size"], decoded(shown["rootHash"])) == (ORIGIN, 10, [signed.root])
    assert shown["cosignedBy"] == []
    assert len(data["events"]["nodes"]) == 10
    for node in data["events"]["nodes"]:
        proof = node["inclusionProof"]
        entry = proof["entry"].encode()
        (leaf,) = decoded(proof["leafHash"])
        assert leaf == sha256(b"\0" + entry).digest()
        assert proof["leafIndex"] == node["position"]
        assert proof["treeSize"] == 10
        verify_inclusion(node["position"], 10, leaf, decoded(*proof["hashes"]), signed.root)


def test_an_old_tree_can_be_asked_for_and_the_new_one_begins_with_it(long_client: httpx2.Client) -> None:
    query = """query ($from: Long!, $to: Long!) {
      old: treeHead(size: $from) { checkpoint } new: treeHead(size: $to) { checkpoint }
      consistencyProof(from: $from, to: $to) { fromSize toSize fromRootHash toRootHash hashes } }"""
    for sizes in ((0, 255), (0, 0), (255, 257), (255, 600), (257, 600), (600, 600)):
        data = ask(long_client, query, **dict(zip(("from", "to"), sizes, strict=True)))
        old, new = (
            open_head(data[name]["checkpoint"].encode(), [KEY.verifier])[0] for name in ("old", "new")
        )
        proof = data["consistencyProof"]
        assert (proof["fromSize"], proof["toSize"]) == (old.size, new.size) == sizes
        assert decoded(proof["fromRootHash"], proof["toRootHash"]) == [old.root, new.root]
        verify_consistency(*sizes, old.root, new.root, decoded(*proof["hashes"]))
    event = "query ($size: Long) { events(last: 1) { nodes { inclusionProof(treeSize: $size) {"
    proof = ask(long_client, f"{event} treeSize leafHash hashes rootHash }} }} }} }}", size=3)
    found = proof["events"]["nodes"][0]["inclusionProof"]
    leaf, root, *hashes = decoded(found["leafHash"], found["rootHash"], *found["hashes"])
    assert (found["treeSize"], len(hashes)) == (3, 2)
    verify_inclusion(0, 3, leaf, hashes, root)
    assert ask(long_client, "{ treeHead(size: 256) { size } }") == {"treeHead": None}


IMPOSSIBLE = (
    ("{ treeHead(size: -1) { size } }", "size"),
    ("{ treeHead(size: 11) { size } }", "size"),
    ("{ consistencyProof(from: 5, to: 11) { hashes } }", "to"),
    ("{ consistencyProof(from: 5, to: -1) { hashes } }", "to"),
    ("{ consistencyProof(from: -1, to: 5) { hashes } }", "from"),
    ("{ consistencyProof(from: 6, to: 5) { hashes } }", "from"),
    ("{ consistencyProof(from: 0, to: 9223372036854775807) { hashes } }", "to"),
    ("{ events(first: 1) { nodes { inclusionProof(treeSize: 9) { hashes } } } }", "treeSize"),
    ("{ events(first: 1) { nodes { inclusionProof(treeSize: 11) { hashes } } } }", "treeSize"),
    ("{ events(first: 1) { nodes { inclusionProof(treeSize: -1) { hashes } } } }", "treeSize"),
    ("{ events(first: 1) { nodes { inclusionProof(treeSize: 0) { hashes } } } }", "treeSize"),
)


def test_a_size_that_the_log_can_not_answer_is_named(client: httpx2.Client) -> None:
    for query, argument in IMPOSSIBLE:
        (error,) = graphql(client, query)["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}, query


def test_proofs_count_against_the_limit_of_a_request(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, limits=QueryLimits(max_events=15))
    answer = graphql(client, "{ events(first: 10) { nodes { inclusionProof { hashes } } } }")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}
    given = [node["inclusionProof"] is not None for node in answer["data"]["events"]["nodes"]]
    assert given == [True] * 5 + [False] * 5


def test_the_proof_of_an_event_that_was_altered_is_refused_and_its_neighbours_are_proved(
    own_client: httpx2.Client, trail_url: str
) -> None:
    ids = {
        each["position"]: each["event"]["event_id"] for each in own_client.get("/v1/events").json()["events"]
    }
    Log(trail_url, []).attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 3")
    refused = own_client.get(f"/v1/events/{ids[3]}/proof")
    assert (refused.status_code, refused.headers["content-type"]) == (500, "application/problem+json")
    assert "the event at position 3 is not the one that was signed" in refused.json()["detail"]
    assert own_client.get(f"/v1/events/{ids[2]}/proof").status_code == 200
    answer = graphql(own_client, PROOFS)
    (error,) = answer["errors"]
    assert "the event at position 3 is not the one that was signed" in error["message"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    without = [n["position"] for n in answer["data"]["events"]["nodes"] if n["inclusionProof"] is None]
    assert without == [3]


def test_a_proof_that_leads_to_another_root_than_was_signed_is_refused(
    own_client: httpx2.Client, trail_url: str
) -> None:
    ids = {
        each["position"]: each["event"]["event_id"] for each in own_client.get("/v1/events").json()["events"]
    }
    log = Log(trail_url, [])
    log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 3")
    log.recompute()
    assert own_client.get(f"/v1/events/{ids[2]}/proof").status_code == 500
