"""A public log (transparency-dev/tessera testdata/log) and the specification's example, read and made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from event_store.merkle import Edge, leaf_hash
from event_store.tlog import proofs, tiles
from event_store.tlog.notes import Note, SigningKey, VerifierKey, verified
from event_store.tlog.tree_heads import open_head, sign_head
from tests.event_store.tlog.naive import nodes_of

SAMPLES = Path(__file__).parents[2] / "samples" / "tlog"
LOG = SAMPLES / "tessera"
ORIGIN = "example.com/log/testdata"
KEY = VerifierKey.parse(f"{ORIGIN}+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
# Published in tessera's testdata/build_log.sh.
SIGNING_KEY = f"PRIVATE+KEY+{ORIGIN}+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
SIZES = range(16)


def entries(size: int) -> list[bytes]:
    return tiles.decode_entries((LOG / tiles.entries_path(0, size)).read_bytes()) if size else []


@pytest.mark.parametrize("size", SIZES)
def test_each_tree_head_is_the_one_over_the_entries(size: int) -> None:
    head, _ = open_head((LOG / f"checkpoint.{size}").read_bytes(), [KEY], ORIGIN)
    edge = Edge(0)
    edge.extend([leaf_hash(entry) for entry in entries(size)])
    assert (head.size, head.root) == (size, edge.root())


@pytest.mark.parametrize("size", SIZES)
def test_the_logs_own_key_signs_the_same_bytes(size: int) -> None:
    golden = (LOG / f"checkpoint.{size}").read_bytes()
    head, _ = open_head(golden, [KEY])
    assert sign_head(head, [SigningKey.parse(SIGNING_KEY)]).encode() == golden


@pytest.mark.parametrize("size", SIZES[1:])
def test_each_tile_and_bundle_is_made_again_from_the_entries(size: int) -> None:
    bundle = entries(size)
    assert len(bundle) == size == tiles.width_in_tree(0, 0, size)
    assert tiles.encode_entries(bundle) == (LOG / tiles.entries_path(0, size)).read_bytes()
    assert b"".join(map(leaf_hash, bundle)) == (LOG / tiles.tile_path(0, 0, size)).read_bytes()


def test_each_tree_head_follows_from_each_before() -> None:
    nodes = nodes_of([leaf_hash(entry) for entry in entries(15)])
    heads = [open_head((LOG / f"checkpoint.{size}").read_bytes(), [KEY])[0] for size in SIZES]
    for new in heads:
        for old in heads[: new.size + 1]:
            made = proofs.consistency_proof(old.size, new.size, nodes)
            proofs.verify_consistency(old.size, new.size, old.root, new.root, made)


def test_the_paths_of_the_public_log_are_canonical() -> None:
    paths = [str(path.relative_to(LOG)) for path in (LOG / "tile").rglob("*") if path.is_file()]
    assert len(paths) == 30
    for path in paths:
        place = tiles.parse_path(path)
        assert (place.index, place.width) == (0, int(Path(path).name))
        assert place.level == (None if "entries" in path else 0)


def test_the_example_of_the_specification_verifies() -> None:
    key = VerifierKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    data = (SAMPLES / "signed-note.txt").read_bytes()
    note = Note.parse(data)
    assert note.text == "This is an example message.\n"
    assert verified(note, [key]) == [key]
    assert note.encode() == data
