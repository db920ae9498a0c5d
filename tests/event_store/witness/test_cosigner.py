from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, LogInconsistentError, UnavailableError
from event_store.tlog.cosignatures import check
from event_store.tlog.notes import Note, Signature, SigningKey, verified
from event_store.tlog.tree_heads import TreeHead, open_head, sign_head
from event_store.tlog.witness_protocol import AddCheckpoint
from event_store.witness import store as witness_store
from event_store.witness.cosigner import Answer, CosigningResult, Witness, read_keys, read_logs
from event_store.witness.store import WitnessStore
from tests.event_store.tlog.naive import ROOTS
from tests.event_store.witness.honest_and_lying_log import (
    LOG_KEY,
    NEXT_LOG_KEY,
    ORIGIN,
    OTHER_LEAVES,
    OTHER_LOG_KEY,
    WITNESS_KEY,
    note,
    proof,
    request,
)

NOW = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> WitnessStore:
    return WitnessStore(tmp_path / "witness.db")


@pytest.fixture
def witness(store: WitnessStore) -> Witness:
    return made(store)


def made(store: WitnessStore, *keys: SigningKey) -> Witness:
    logs = read_logs([LOG_KEY.verifier.encode(), OTHER_LOG_KEY.verifier.encode()])
    return Witness(store, keys or (WITNESS_KEY,), logs, clock=lambda: NOW + 0.9)


def cosigned(witness: Witness, *sizes: int) -> None:
    """Cosign one after the other."""
    for old, new in zip((0, *sizes), sizes, strict=False):
        assert witness.add_checkpoint(request(old, new)).outcome is CosigningResult.COSIGNED


@pytest.mark.parametrize(
    "sizes", [(1,), (0, 1), (0, 0, 3), (5, 5), (1, 2, 3, 7, 8, 64, 100, 100, 130), (512, 600)]
)
def test_each_head_that_follows_from_the_one_before_is_cosigned(
    witness: Witness, sizes: tuple[int, ...]
) -> None:
    cosigned(witness, *sizes)


def test_a_cosignature_verifies_with_the_witnesss_key_and_says_the_time(witness: Witness) -> None:
    head = note(5)
    answer = witness.add_checkpoint(request(0, 5, head))
    (signature,) = answer.signatures
    assert check(WITNESS_KEY.verifier, head.text, signature) == NOW


def test_every_key_of_a_witness_cosigns(store: WitnessStore) -> None:
    second = SigningKey.generate(WITNESS_KEY.name, WITNESS_KEY.algorithm)
    witness = made(store, WITNESS_KEY, second)
    answer = witness.add_checkpoint(request(0, 5))
    assert verified(Note(note(5).text, answer.signatures), witness.verifiers) == list(witness.verifiers)


@pytest.mark.parametrize("old", [0, 4, 6])
def test_a_request_that_starts_elsewhere_is_told_the_size(witness: Witness, old: int) -> None:
    cosigned(witness, 5)
    answer = witness.add_checkpoint(request(old, 9))
    assert (answer.outcome, answer.size, answer.signatures) == (CosigningResult.CONFLICT, 5, ())


def test_a_log_that_was_never_cosigned_starts_from_nothing(witness: Witness) -> None:
    cosigned(witness, 5)
    head = note(9, [OTHER_LOG_KEY], origin=OTHER_LOG_KEY.name)
    answer = witness.add_checkpoint(AddCheckpoint(5, proof(5, 9), head.encode()).encode())
    assert (answer.outcome, answer.size) == (CosigningResult.CONFLICT, 0)
    assert witness.add_checkpoint(request(0, 9, head)).outcome is CosigningResult.COSIGNED


def test_another_history_is_refused_and_kept_as_evidence(witness: Witness, store: WitnessStore) -> None:
    cosigned(witness, 5)
    assert witness.add_checkpoint(request(5, 9, leaves=OTHER_LEAVES)).outcome is CosigningResult.INCONSISTENT
    for _ in range(2):
        assert (
            witness.add_checkpoint(request(5, 5, leaves=OTHER_LEAVES)).outcome is CosigningResult.INCONSISTENT
        )
    evidence = store.contradictions(ORIGIN)
    assert len(evidence) == 2
    for known, refused, _ in evidence:
        assert open_head(known, [LOG_KEY.verifier], ORIGIN)[0] == TreeHead(ORIGIN, 5, ROOTS[5])
        open_head(refused, [LOG_KEY.verifier], ORIGIN)
    cosigned_next = witness.add_checkpoint(request(5, 9))
    assert cosigned_next.outcome is CosigningResult.COSIGNED


def test_what_a_mad_log_signs_does_not_fill_the_disk(
    witness: Witness, store: WitnessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_store, "MAX_CONTRADICTIONS", 3)
    cosigned(witness, 5)
    for new in range(6, 20):
        witness.add_checkpoint(request(5, new, leaves=OTHER_LEAVES))
    assert len(store.contradictions(ORIGIN)) == 3
    witness.add_checkpoint(request(5, 5, leaves=OTHER_LEAVES))
    assert len(store.contradictions(ORIGIN)) == 4


EMPTY_LIE = sign_head(TreeHead(ORIGIN, 0, ROOTS[1]), [LOG_KEY])


@pytest.mark.parametrize(
    ("known", "body"),
    [
        (0, AddCheckpoint(0, (), EMPTY_LIE.encode()).encode()),
        (0, AddCheckpoint(0, (ROOTS[1],), note(5).encode()).encode()),
        (5, AddCheckpoint(5, (ROOTS[5],), note(5).encode()).encode()),
        (5, AddCheckpoint(5, (), note(9).encode()).encode()),
        (5, AddCheckpoint(5, proof(5, 9)[:-1], note(9).encode()).encode()),
        (5, AddCheckpoint(5, (*proof(5, 9), ROOTS[1]), note(9).encode()).encode()),
        (5, AddCheckpoint(5, proof(5, 10), note(9).encode()).encode()),
        (5, AddCheckpoint(5, proof(5, 9)[::-1], note(9).encode()).encode()),
    ],
)
def test_a_wrong_proof_is_refused(witness: Witness, store: WitnessStore, known: int, body: bytes) -> None:
    cosigned(witness, *[known] * (known > 0))
    answer = witness.add_checkpoint(body)
    assert (answer.outcome, answer.signatures) == (CosigningResult.INCONSISTENT, ())
    with store.transaction() as transaction:
        latest = transaction.latest(ORIGIN)
    assert (latest.size if latest else 0) == known


def test_a_smaller_head_than_its_own_old_size_is_malformed(witness: Witness) -> None:
    cosigned(witness, 5)
    assert witness.add_checkpoint(request(5, 4)).outcome is CosigningResult.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 0\n\n",
        b"old 0\n\n" + note(5).text.encode(),
        note(5).encode(),
        b"old 00\n\n" + note(5).encode(),
        b"old 0\n" + note(5).encode(),
        b"old 0\nAAAA\n\n" + note(5).encode(),
        b"old 0\n\n" + Note(f"{ORIGIN}\n5\n", note(5).signatures).encode(),
        b"\xff" * 1000,
        request(0, 5).replace(b"\n", b"\r\n"),
    ],
)
def test_a_malformed_request_is_told_so(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).outcome is CosigningResult.MALFORMED


def test_an_unknown_log_is_unknown_even_when_a_known_key_has_signed_for_it(witness: Witness) -> None:
    head = note(5, [LOG_KEY], origin="example.com/unknown")
    assert witness.add_checkpoint(request(0, 5, head)).outcome is CosigningResult.UNKNOWN_LOG


def test_a_head_without_a_valid_signature_of_its_own_log_is_refused(witness: Witness) -> None:
    text = note(5).text
    forged = Signature(ORIGIN, LOG_KEY.verifier.key_id, bytes(64))
    for signatures in (
        (forged,),
        (LOG_KEY.sign(text), forged),
        (NEXT_LOG_KEY.sign(text),),
        (OTHER_LOG_KEY.sign(text),),
        (LOG_KEY.sign(note(6).text),),
    ):
        body = request(0, 5, Note(text, signatures))
        assert witness.add_checkpoint(body).outcome is CosigningResult.NOT_SIGNED


def test_signatures_of_strangers_are_ignored_and_not_passed_on(witness: Witness) -> None:
    text = note(5).text
    head = Note(text, (OTHER_LOG_KEY.sign(text), LOG_KEY.sign(text), NEXT_LOG_KEY.sign(text)))
    assert witness.add_checkpoint(request(0, 5, head)).outcome is CosigningResult.COSIGNED
    kept = witness.latest(sha256(ORIGIN.encode()).hexdigest())
    assert kept is not None
    names = [(signature.name, signature.key_id) for signature in Note.parse(kept).signatures]
    assert names == [(key.name, key.verifier.key_id) for key in (LOG_KEY, WITNESS_KEY)]


def test_a_log_may_change_its_key(store: WitnessStore) -> None:
    before = made(store)
    cosigned(before, 5)
    both = [LOG_KEY.verifier.encode(), NEXT_LOG_KEY.verifier.encode()]
    during = Witness(store, [WITNESS_KEY], read_logs(both))
    assert during.add_checkpoint(request(5, 9, note(9, [NEXT_LOG_KEY]))).outcome is CosigningResult.COSIGNED
    after = Witness(store, [WITNESS_KEY], read_logs(both[1:]))
    assert after.add_checkpoint(request(9, 12, note(12, [LOG_KEY]))).outcome is CosigningResult.NOT_SIGNED
    assert after.add_checkpoint(request(9, 12, note(12, [NEXT_LOG_KEY]))).outcome is CosigningResult.COSIGNED


def test_extension_lines_are_cosigned_with_the_head(witness: Witness) -> None:
    text = note(5).text + "extension\n"
    head = Note(text, (LOG_KEY.sign(text),))
    (signature,) = witness.add_checkpoint(request(0, 5, head)).signatures
    check(WITNESS_KEY.verifier, text, signature)


def test_a_restarted_witness_knows_what_it_has_cosigned(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    cosigned(made(WitnessStore(path)), 5)
    again = made(WitnessStore(path))
    assert again.add_checkpoint(request(0, 9)).size == 5
    assert again.add_checkpoint(request(5, 9)).outcome is CosigningResult.COSIGNED


@pytest.mark.parametrize("stores", [1, 2])
def test_of_two_requests_at_once_one_wins(tmp_path: Path, stores: int) -> None:
    path = tmp_path / "witness.db"
    witnesses = [made(WitnessStore(path)) for _ in range(stores)]
    cosigned(witnesses[0], 5)
    bodies = [request(5, new) for new in range(6, 26)]
    start = threading.Barrier(len(bodies))

    def ask(at: int) -> Answer:
        start.wait()
        return witnesses[at % stores].add_checkpoint(bodies[at])

    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(ask, range(len(bodies))))
    (winner,) = [answer for answer in answers if answer.outcome is CosigningResult.COSIGNED]
    assert {(answer.outcome, answer.size) for answer in answers if answer is not winner} == {
        (CosigningResult.CONFLICT, winner.size)
    }


def test_the_file_itself_refuses_to_go_back(witness: Witness, tmp_path: Path) -> None:
    cosigned(witness, 5)
    with closing(sqlite3.connect(tmp_path / "witness.db")) as connection:
        for statement in (
            "UPDATE latest SET size = 4",
            "UPDATE latest SET root = zeroblob(32)",
            "UPDATE latest SET origin = 'x'",
            "DELETE FROM latest",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)


def test_a_witness_whose_file_is_locked_or_damaged_does_not_cosign(
    witness: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosigned(witness, 5)
    monkeypatch.setattr(witness_store, "BUSY_SECONDS", 0.05)
    path = tmp_path / "witness.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError):
            witness.add_checkpoint(request(5, 9))
    for leftover in tmp_path.glob("witness.db-*"):
        leftover.unlink()
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(LogInconsistentError):
        witness.add_checkpoint(request(5, 9))
    with pytest.raises(ConfigurationError):
        WitnessStore(path)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (id integer)")


@pytest.mark.parametrize("spoil", [foreign, lambda path: path.write_text("text" * 100), Path.mkdir])
def test_the_file_of_another_program_is_left_alone(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "other.db"
    spoil(path)
    with pytest.raises(ConfigurationError):
        WitnessStore(path)


def test_keys_and_logs_are_read_from_text() -> None:
    text = f"# public key: {WITNESS_KEY.verifier.encode()}\n\n{WITNESS_KEY.encode()}\n"
    assert [key.verifier for key in read_keys(text)] == [WITNESS_KEY.verifier]
    log, following = LOG_KEY.verifier, NEXT_LOG_KEY.verifier
    lines = ["# logs", log.encode(), following.encode(), log.encode(), f"a log with spaces {log.encode()}"]
    assert read_logs(lines) == {ORIGIN: [log, following], "a log with spaces": [log]}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", LOG_KEY.encode(), WITNESS_KEY.encode()[:-4], WITNESS_KEY.verifier.encode()]
)
def test_a_key_file_that_no_witness_can_use_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(text)
    assert text.rpartition("+")[2][:20] not in str(caught.value) or not text.startswith("PRIVATE")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "example.com/log",
        WITNESS_KEY.verifier.encode(),
        LOG_KEY.encode(),
        f"{LOG_KEY.verifier.encode()} x",
    ],
)
def test_a_log_that_cannot_be_trusted_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError):
        read_logs([line])
