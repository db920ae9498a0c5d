"""The served log, checked as a stranger would: from what is fetched, with the public key alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from event_store.database import READER, Database
from event_store.entry import encode_entry
from event_store.log_reader import LogReader
from event_store.merkle import Edge, leaf_hash
from event_store.tlog.tiles import decode_entries, entries_path, tile_path, width_in_tree
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.read_models import ReadModels
from tests.hospital import read, record
from tests.signing import KEY
from tests.tokens import authentication
from tests.web.conftest import NO_BROKER, Serve, serving
from tests.web.rest.transparency_log import ask, get, head, raw
from web.app import create_app
from web.probes import StoreProbes


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
