"""Tiles, entry bundles, proof files and the bodies of the witness protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ProofError
from event_store.tlog import proof_files, tiles, witness_protocol
from event_store.tlog.encoding import to_base64
from event_store.tlog.keys import ED25519, SigningKey
from event_store.tlog.proof_files import ProofFile, encode_proof, parse_proof
from event_store.tlog.tiles import TilePath
from event_store.tlog.witness_protocol import AddCheckpoint

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63)
NUMBERS = st.integers(0, 2**63 - 1)
HASH = to_base64(bytes(32))


def test_paths_are_those_of_the_specification() -> None:
    assert tiles.tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tiles.tile_path(1, 0, 7) == "tile/1/000.p/7"
    assert tiles.entries_path(273, 112) == "tile/entries/273.p/112"
    assert tiles.entries_path(1000) == "tile/entries/x001/000"


@given(st.one_of(st.none(), st.integers(0, 63)), NUMBERS, st.integers(1, 256))
def test_a_path_comes_back_as_what_it_names(level: int | None, index: int, width: int) -> None:
    path = tiles.entries_path(index, width) if level is None else tiles.tile_path(level, index, width)
    assert tiles.parse_path(path) == TilePath(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/1/2",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/entry/000",
        "tile/entries/..",
        "tile/0/../0/000",
        "tile/0/" + "x001/" * 10_000 + "000",
    ],
)
def test_a_path_that_is_not_canonical_is_refused(path: str) -> None:
    with pytest.raises(ProofError):
        tiles.parse_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)]
)
def test_no_path_is_made_for_what_no_tile_is(level: int, index: int, width: int) -> None:
    with pytest.raises(ProofError):
        tiles.tile_path(level, index, width)


def test_the_tiles_of_a_tree_are_those_of_the_specification() -> None:
    size = 70_000
    assert [tiles.width_in_tree(0, index, size) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tiles.width_in_tree(1, index, size) for index in (0, 1, 2)] == [256, 17, 0]
    assert [tiles.width_in_tree(2, 0, size), tiles.width_in_tree(3, 0, size)] == [1, 0]
    assert [tiles.width_in_tree(level, 0, 256) for level in (0, 1, 2)] == [256, 1, 0]
    assert tiles.width_in_tree(63, 0, 2**63 - 1) == 0


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_a_bundle_comes_back_as_its_entries(entries: list[bytes]) -> None:
    assert tiles.decode_entries(tiles.encode_entries(entries)) == entries


def test_the_longest_entry_fits_and_one_byte_more_does_not() -> None:
    assert tiles.decode_entries(tiles.encode_entries([bytes(65535)])) == [bytes(65535)]
    for entries in ([bytes(65536)], [b""] * 257):
        with pytest.raises(ProofError):
            tiles.encode_entries(entries)


@pytest.mark.parametrize("data", [b"\0", b"\0\1", b"\0\2a", b"\0\1a\0", bytes(2 * 257)])
def test_a_bundle_that_is_cut_short_or_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(ProofError):
        tiles.decode_entries(data)


@given(NUMBERS, HASHES, st.binary(), st.one_of(st.none(), st.binary(max_size=50)))
def test_a_proof_file_comes_back_as_it_was(
    index: int, hashes: list[bytes], note: bytes, extra: bytes | None
) -> None:
    made = encode_proof(index, hashes, note, extra)
    assert parse_proof(made) == ProofFile(index, tuple(hashes), note, extra)


def test_a_proof_file_is_laid_out_as_the_specification_says() -> None:
    made = encode_proof(73894, [bytes(32)], b"origin\n1\nroot\n\nsignatures\n", b"extra")
    assert made.decode() == (
        f"c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 73894\n{HASH}\n\norigin\n1\nroot\n\nsignatures\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "c2sp.org/tlog-proof@v1\nindex 1\nnote",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex -1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AAA\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nnote",
        "c2sp.org/tlog-proof@v1\r\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\n" + f"{HASH}\n" * 64 + "\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\n\n" + "x" * proof_files.MAX_PROOF_FILE,
    ],
)
def test_a_malformed_proof_file_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_proof(text.encode())


@given(NUMBERS, HASHES, st.binary())
def test_a_witness_reads_the_request_that_a_log_wrote(old: int, hashes: list[bytes], note: bytes) -> None:
    request = AddCheckpoint(old, tuple(hashes), note)
    assert AddCheckpoint.parse(request.encode()) == request


@pytest.mark.parametrize(
    "body",
    [
        "",
        "old 1\n",
        "old 1\nnote",
        "old 01\n\nnote",
        "old -1\n\nnote",
        "old 1.0\n\nnote",
        "old  1\n\nnote",
        f"old {2**63}\n\nnote",
        "OLD 1\n\nnote",
        "\n\nnote",
        "old 1\nAAAA\n\nnote",
        "old 1\r\n\r\nnote",
        "old 1\n" + f"{HASH}\n" * 64 + "\nnote",
    ],
)
def test_a_malformed_request_is_refused(body: str) -> None:
    with pytest.raises(ProofError):
        AddCheckpoint.parse(body.encode())


def test_what_is_longer_than_any_proof_is_not_written() -> None:
    hashes = (bytes(32),) * 64
    with pytest.raises(ProofError):
        encode_proof(0, hashes, b"")
    with pytest.raises(ProofError):
        AddCheckpoint(0, hashes, b"").encode()


def test_a_log_reads_the_answers_that_a_witness_wrote() -> None:
    key = SigningKey("example.com/log", ED25519, bytes(range(32)))
    signatures = (key.sign("a\n"), key.sign("b\n"))
    assert witness_protocol.parse_cosignatures(witness_protocol.encode_cosignatures(signatures)) == signatures
    assert witness_protocol.parse_size(witness_protocol.encode_size(20852014)) == 20852014


@pytest.mark.parametrize("body", [b"", b"\n", b"1", b"01\n", b"1\n\n", b"a\n", b"\xff\n"])
def test_a_malformed_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ProofError):
        witness_protocol.parse_size(body)
    with pytest.raises(ProofError):
        witness_protocol.parse_cosignatures(body)
