"""The served log, checked as a stranger would: from what is fetched, with the public key alone."""

from __future__ import annotations

import base64
import gzip
import http.client
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from event_store.database import READER, Database
from event_store.entry import encode_entry
from event_store.log_reader import LogReader
from event_store.merkle import Edge, leaf_hash
from event_store.tlog.notes import VerifierKey
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.proofs import verify_consistency, verify_inclusion
from event_store.tlog.tiles import decode_entries, entries_path, tile_path, width_in_tree
from event_store.tlog.tree_heads import TreeHead, open_head
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.limits import QueryLimits
from queries.read_models import ReadModels
from tests.event_store.verify.tampering import Log
from tests.hospital import hospital, read, record
from tests.signing import KEY
from tests.tokens import ADMIN, authentication
from tests.web.conftest import NO_BROKER, Serve, serving
from web.app import create_app
from web.probes import StoreProbes

ORIGIN = "audit-trail.test/log"


def get(client: httpx2.Client, path: str) -> bytes:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer.content


def head(client: httpx2.Client) -> TreeHead:
    """The newest signed head, verified with the key that the server names."""
    keys = [VerifierKey.parse(line) for line in get(client, "/log/vkey").decode().splitlines()]
    assert keys == [KEY.verifier]
    return open_head(get(client, "/log/checkpoint"), keys, ORIGIN)[0]


def raw(client: httpx2.Client, path: str, method: str = "GET") -> int:
    """The status of a path that is sent as it is written."""
    with closing(http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0)) as connection:
        connection.request(method, path, headers=ADMIN)
        return connection.getresponse().status


def graphql(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/graphql", json={"query": query, "variables": variables}).json()
    return answer


def ask(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = graphql(client, query, **variables)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


@pytest.fixture
def long_client(serve: Serve, projected_url: str) -> httpx2.Client:
    """A client of a server on a log of 600 events in three batches."""
    for count in (255, 2, 343):
        record(projected_url, [read(n) for n in range(count)])
    return serve(projected_url)


def test_the_tree_that_the_tiles_and_the_entries_give_is_the_one_that_was_signed(
    long_client: httpx2.Client,
) -> None:
    signed = head(long_client)
    assert signed.size == 600
    entries: list[bytes] = []
    hashes: dict[int, bytes] = {}
    for level in (0, 1):
        index = 0
        hashes[level] = b""
        while width := width_in_tree(level, index, signed.size):
            tile = get(long_client, "/log/" + tile_path(level, index, width))
            assert len(tile) == width * 32
            hashes[level] += tile
            if level == 0:
                bundle = decode_entries(get(long_client, "/log/" + entries_path(index, width)))
                assert len(bundle) == width
                entries += bundle
            index += 1
    tree = Edge(0)
    full = tree.extend([leaf_hash(entry) for entry in entries])
    assert tree.root() == signed.root
    assert hashes[0] == b"".join(map(leaf_hash, entries))
    assert hashes[1] == b"".join(tree.hashes(1))
    assert [tile.hashes for tile in full if tile.level == 0] == [hashes[0][:8192], hashes[0][8192:16384]]
    positions = [int(entry.split(b"\n")[1]) for entry in entries]
    assert positions == list(range(600))


def test_a_tile_is_there_in_every_width_up_to_what_the_log_has(client: httpx2.Client) -> None:
    assert head(client).size == 10
    hashes = get(client, "/log/tile/0/000.p/10")
    entries = get(client, "/log/tile/entries/000.p/10")
    for width in range(1, 11):
        assert get(client, f"/log/tile/0/000.p/{width}") == hashes[: width * 32]
        bundle = get(client, f"/log/tile/entries/000.p/{width}")
        assert decode_entries(bundle) == decode_entries(entries)[:width]
    for path in (
        "tile/0/000.p/11",
        "tile/entries/000.p/11",
        "tile/0/000",
        "tile/entries/000",
        "tile/1/000.p/1",
    ):
        answer = client.get(f"/log/{path}")
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store"), path
        assert answer.headers["content-type"] == "application/problem+json"


HOSTILE = (
    "tile/0/x001/../000.p/1",
    "tile/0/../0/000.p/1",
    "tile/0//000.p/1",
    "tile/0/000%2ep/1",
    "tile/0/%30%30%30.p/1",
    "tile%2f0/000.p/1",
    "tile/%65ntries/000.p/1",
    "tile/0/000.p%2f1",
    "tile/0/0.p/1",
    "tile/0/x000/000.p/1",
    "tile/0/0000.p/1",
    "tile/00/000.p/1",
    "tile/-1/000.p/1",
    "tile/+0/000.p/1",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/01",
    "tile/0/000.p/1/",
    "tile/0/000.p",
    "tile/0/",
    "tile/0",
    "tile/",
    "tile",
    "tile/63/000.p/1",
    "tile/64/000.p/1",
    "tile/99999999999999999999/000.p/1",
    "tile/entries/",
    "tile/entries/x999/x999/x999/x999/x999/x999/999",
    "tile/0/x009/x223/x372/x036/x854/x775/807.p/1",
    "tile/0/x009/x223/x372/x036/x854/x775/808",
    "tile/0/" + "x999/" * 2000 + "999",
    "tile/0/000.p/%D9%A1",
    "tile/0/000%00.p/1",
    "tile/0/000.p/1%0A",
    "tile/0/%ff%fe.p/1",
)


def test_what_is_no_path_of_a_tile_that_is_there_is_not_found(client: httpx2.Client) -> None:
    for method in ("GET", "HEAD"):
        found = {path: raw(client, f"/log/{path}", method) for path in HOSTILE}
        assert found == {path: 400 if "%ff" in path else 404 for path in HOSTILE}


def test_a_tile_keeps_its_bytes_while_the_log_grows(serve: Serve, projected_url: str) -> None:
    client = serve(projected_url)
    record(projected_url, [read(n) for n in range(250)])
    partial = {
        kind: client.get(f"/log/tile/{kind}/000.p/250", headers={"accept-encoding": "gzip"})
        for kind in ("0", "entries")
    }
    record(projected_url, [read(n) for n in range(20)])
    full = {kind: get(client, f"/log/tile/{kind}/000") for kind in ("0", "entries")}
    record(projected_url, [read(n) for n in range(300)])
    for kind, before in partial.items():
        again = client.get(f"/log/tile/{kind}/000.p/250", headers={"accept-encoding": "gzip"})
        assert (again.content, again.headers["etag"]) == (before.content, before.headers["etag"])
        assert get(client, f"/log/tile/{kind}/000") == full[kind]
        assert full[kind].startswith(before.content)


@pytest.mark.parametrize(("public", "whose"), [(True, "public"), (False, "private")])
def test_caches_are_told_what_they_may_keep_and_for_whom(
    serve: Serve, trail_url: str, public: bool, whose: str
) -> None:
    client = serve(trail_url, public_log=public)
    for path, media, control in (
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("vkey", "text/plain; charset=utf-8", "no-cache"),
        ("vkeys", "text/plain; charset=utf-8", "no-cache"),
        ("tile/0/000.p/3", "application/octet-stream", "max-age=31536000, immutable"),
        ("tile/entries/000.p/3", "application/octet-stream", "max-age=31536000, immutable"),
    ):
        answer = client.get(f"/log/{path}", headers={"accept-encoding": "identity"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, media)
        assert answer.headers["cache-control"] == f"{whose}, {control}"
        asked = client.head(f"/log/{path}", headers={"accept-encoding": "identity"})
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == str(len(answer.content))
        tag = answer.headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            same = client.get(f"/log/{path}", headers={"if-none-match": known, "accept-encoding": "identity"})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert client.get(f"/log/{path}", headers={"if-none-match": '"x"'}).status_code == 200
        assert client.post(f"/log/{path}").status_code == 405
    assert get(client, "/log/vkeys").decode() == f"0 {KEY.verifier.encode()}\n"


def test_entries_are_compressed_for_those_who_take_it(client: httpx2.Client) -> None:
    for accepts, packed in {
        "gzip": True,
        "br, gzip;q=0.5": True,
        "identity": False,
        "gzip;q=0": False,
        "br": False,
    }.items():
        check_bundle(client, accepts, packed=packed)
    assert "content-encoding" not in client.get("/log/tile/0/000.p/9").headers


def check_bundle(client: httpx2.Client, accepts: str, *, packed: bool) -> None:
    with client.stream("GET", "/log/tile/entries/000.p/9", headers={"accept-encoding": accepts}) as answer:
        data = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert len(decode_entries(gzip.decompress(data) if packed else data)) == 9


def test_nothing_is_signed_before_the_first_event(serve: Serve, migrated_url: str) -> None:
    client = serve(migrated_url)
    for path in ("checkpoint", "vkey", "vkeys", "tile/0/000.p/1", "tile/entries/000.p/1"):
        assert client.get(f"/log/{path}").status_code == 404
    assert ask(client, "{ treeHead { size } }") == {"treeHead": None}
    assert client.get(f"/v1/events/{uuid4()}/proof").status_code == 404


def test_the_log_is_away_while_the_database_is(lonely_client: httpx2.Client) -> None:
    for path in ("/log/checkpoint", "/log/vkey", "/log/tile/0/000", f"/v1/events/{uuid4()}/proof"):
        answer = lonely_client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert lonely_client.get("/log/tile/0/1").status_code == 404


def test_the_log_is_documented(client: httpx2.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/log/checkpoint",
        "/log/vkey",
        "/log/vkeys",
        "/log/tile/entries/{index}",
        "/log/tile/{level}/{index}",
        "/v1/events/{event_id}/proof",
    } <= set(paths)
    assert list(paths["/log/tile/{level}/{index}"]) == ["get"]
    assert list(paths["/log/checkpoint"]["get"]["responses"]["200"]["content"]) == [
        "text/plain; charset=utf-8"
    ]


@pytest.fixture
def mounted(trail_url: str) -> Iterator[httpx2.Client]:
    """A client of the application behind a prefix."""
    with (
        closing(Database(trail_url, READER, size=4)) as database,
        closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher,
    ):
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            authentication=authentication(),
        )
        with serving(Starlette(routes=[Mount("/audit", app)])) as client:
            yield client


def test_the_log_is_served_behind_a_prefix_too(mounted: httpx2.Client) -> None:
    for path in ("checkpoint", "vkey", "tile/0/000.p/10", "tile/entries/000.p/10"):
        assert get(mounted, f"/audit/log/{path}")
    assert raw(mounted, "/audit/log/tile/0/000%2ep/10") == 404


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


def test_entries_say_nothing_about_persons(client: httpx2.Client) -> None:
    entries = decode_entries(get(client, "/log/tile/entries/000.p/10"))
    for entry in entries:
        version, position, event_id, recorded, stream, offset, format, digest, end = entry.decode(
            "ascii"
        ).split("\n")
        assert (version, end) == ("audit-trail-entry/1", "")
        assert entry == encode_entry(
            int(position), event_id, int(recorded), stream, int(offset), int(format), digest
        )


def test_the_proof_of_an_event_that_was_altered_is_refused_and_its_neighbours_are_proved(
    client: httpx2.Client, trail_url: str
) -> None:
    ids = {each["position"]: each["event"]["event_id"] for each in client.get("/v1/events").json()["events"]}
    Log(trail_url, []).attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 3")
    refused = client.get(f"/v1/events/{ids[3]}/proof")
    assert (refused.status_code, refused.headers["content-type"]) == (500, "application/problem+json")
    assert "the event at position 3 is not the one that was signed" in refused.json()["detail"]
    assert client.get(f"/v1/events/{ids[2]}/proof").status_code == 200
    answer = graphql(client, PROOFS)
    (error,) = answer["errors"]
    assert "the event at position 3 is not the one that was signed" in error["message"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    without = [n["position"] for n in answer["data"]["events"]["nodes"] if n["inclusionProof"] is None]
    assert without == [3]


def test_a_proof_that_leads_to_another_root_than_was_signed_is_refused(
    client: httpx2.Client, trail_url: str
) -> None:
    ids = {each["position"]: each["event"]["event_id"] for each in client.get("/v1/events").json()["events"]}
    log = Log(trail_url, [])
    log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 3")
    log.recompute()
    assert client.get(f"/v1/events/{ids[2]}/proof").status_code == 500
