from __future__ import annotations

import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ProofError
from event_store.tlog.cosignatures import check, cosign
from event_store.tlog.encoding import to_base64
from event_store.tlog.notes import (
    COSIGNATURE_V1,
    ED25519,
    Note,
    Signature,
    SigningKey,
    VerifierKey,
    verified,
)
from event_store.tlog.tree_heads import TreeHead, open_head, sign_head

LOG = SigningKey("example.com/log", ED25519, bytes(range(32)))
NEXT = SigningKey("example.com/log", ED25519, bytes(range(1, 33)))
WITNESS_SEED = bytes(range(2, 34))
WITNESS = SigningKey("example.org/witness", COSIGNATURE_V1, WITNESS_SEED)
TEXT = "example.com/log\n1\n" + to_base64(bytes(32)) + "\n"
NOTE = Note(TEXT, (LOG.sign(TEXT),))
LINE = LOG.sign(TEXT).line()
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="+"), min_size=1
)


@given(NAMES, st.binary(min_size=32, max_size=32), st.sampled_from([ED25519, COSIGNATURE_V1]))
def test_keys_come_back_as_they_were_written(name: str, seed: bytes, algorithm: int) -> None:
    key = SigningKey(name[:255], algorithm, seed)
    again = SigningKey.parse(key.encode())
    assert again.encode() == key.encode()
    assert VerifierKey.parse(key.verifier.encode()) == again.verifier == key.verifier


def test_a_signing_key_never_shows_what_it_is_made_of() -> None:
    key = SigningKey.generate("example.com/log")
    secret = key.encode().split("+", 4)[4]  # base64, which has a + too
    assert len(secret) > 40
    assert secret not in f"{key} {key!r}"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(ProofError) as caught:
        SigningKey.parse(key.encode().replace("example", "another"))
    assert secret not in str(caught.value)


def test_two_generated_keys_differ() -> None:
    assert SigningKey.generate("a").verifier != SigningKey.generate("a").verifier


@pytest.mark.parametrize(
    "name",
    ["", "two words", "a+b", "a\nb", "no\u00a0break", "a\u2003b", "tab\t", "a\x00b", "\ud800"],
)
def test_a_name_that_a_note_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(ProofError):
        SigningKey.generate(name)


VKEY = LOG.verifier.encode()
KEY_ID = LOG.verifier.key_id.hex()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/log",
        f"example.com/log+{KEY_ID}",
        VKEY + "=",
        VKEY + "\n",
        " " + VKEY,
        VKEY.replace("log", "other"),
        VKEY.replace(KEY_ID, KEY_ID.upper()),
        VKEY.replace(KEY_ID, "00000000"),
        f"example.com/log+{KEY_ID}+",
        f"example.com/log+{KEY_ID}+" + to_base64(b"\1" + bytes(31)),
        f"example.com/log+{KEY_ID}+" + to_base64(b"\6" + LOG.verifier.public),
        LOG.encode(),
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        VKEY,
        "PRIVATE+KEY+",
        "PRIVATE+KEY+" + VKEY,
        LOG.encode() + "=",
        LOG.encode().lower(),
        LOG.encode().replace(KEY_ID, "00000000"),
    ],
)
def test_a_malformed_signing_key_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        SigningKey.parse(text)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), min_size=1))
def test_a_note_of_any_text_comes_back_as_it_was_signed(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    note = Note(text, (LOG.sign(text), NEXT.sign(text)))
    again = Note.parse(note.encode())
    assert again == note
    assert verified(again, [NEXT.verifier, LOG.verifier]) == [NEXT.verifier, LOG.verifier]


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(at: int, change: int) -> None:
    data = bytearray(NOTE.encode())
    data[at] ^= change
    with pytest.raises(ProofError):
        open_head(bytes(data), [LOG.verifier], "example.com/log")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        TEXT.encode(),
        f"{TEXT}\n".encode(),
        f"{TEXT}\n\n".encode(),
        f"{TEXT}{LINE}\n".encode(),
        f"{TEXT}\n{LINE}".encode(),
        f"{TEXT}\n{LINE}\n\n".encode(),
        f"{TEXT}\n{LINE}\nmore\n".encode(),
        f"{TEXT}\n{LINE}\r\n".encode(),
        f"{TEXT}\n{LINE.replace(' ', '  ')}\n".encode(),
        f"{TEXT}\n{LINE} \n".encode(),
        f"{TEXT}\n-{LINE[1:]}\n".encode(),
        f"{TEXT}\n\u2014 example.com/log \n".encode(),
        f"{TEXT}\n\u2014 example.com/log\n".encode(),
        f"{TEXT}\n\u2014 example.com/log AAAAAA==\n".encode(),
        f"{TEXT}\n\u2014 example.com/log {to_base64(bytes(5))[:-1]}\n".encode(),
        f"{TEXT}\n\u2014 example.com/log AAAAAAB=\n".encode(),
        f"tab\t{TEXT}\n{LINE}\n".encode(),
        f"nul\0{TEXT}\n{LINE}\n".encode(),
        b"\xff" + NOTE.encode(),
        (TEXT + "\n" + f"{LINE}\n" * 101).encode(),
        b"x" * 1_000_001 + NOTE.encode(),
    ],
)
def test_a_malformed_note_is_refused(data: bytes) -> None:
    with pytest.raises(ProofError):
        Note.parse(data)


def test_a_note_may_have_a_hundred_signatures_and_five_kilobytes_in_one() -> None:
    text = "text\n"
    others = tuple(Signature("example.net/pq", bytes([0, 0, 0, at]), bytes(5000)) for at in range(99))
    note = Note(text, (*others, LOG.sign(text)))
    assert verified(Note.parse(note.encode()), [LOG.verifier]) == [LOG.verifier]


def test_signatures_of_unknown_keys_are_ignored_even_with_a_known_name_or_id() -> None:
    same_name = Signature(LOG.name, b"\0\0\0\1", bytes(64))
    same_id = Signature("example.com/other", LOG.verifier.key_id, bytes(64))
    note = Note(TEXT, (same_name, same_id))
    assert verified(note, [LOG.verifier]) == []
    assert verified(Note(TEXT, (*note.signatures, LOG.sign(TEXT))), [LOG.verifier]) == [LOG.verifier]


@pytest.mark.parametrize("value", [bytes(64), bytes(1), LOG.sign("other\n").value])
def test_a_wrong_signature_of_a_known_key_spoils_the_note_wherever_it_stands(value: bytes) -> None:
    wrong = Signature(LOG.name, LOG.verifier.key_id, value)
    for signatures in ((wrong,), (LOG.sign(TEXT), wrong), (wrong, LOG.sign(TEXT)), (NEXT.sign(TEXT), wrong)):
        with pytest.raises(ProofError, match="does not verify"):
            verified(Note(TEXT, signatures), [LOG.verifier, NEXT.verifier])


def test_a_key_with_the_id_of_another_of_the_same_name_is_refused() -> None:
    class Colliding(VerifierKey):
        @property
        def key_id(self) -> bytes:
            return LOG.verifier.key_id

    with pytest.raises(ProofError, match="same name and key id"):
        verified(NOTE, [LOG.verifier, Colliding(LOG.name, ED25519, NEXT.verifier.public)])


@pytest.mark.parametrize(
    "note", [Note("no end", (LOG.sign("no end"),)), Note(TEXT, ()), Note("a\tb\n", NOTE.signatures)]
)
def test_what_is_no_note_is_not_written(note: Note) -> None:
    with pytest.raises(ProofError):
        note.encode()


def test_a_head_is_opened_by_any_of_its_keys_and_by_no_other() -> None:
    head = TreeHead("example.com/log", 7, bytes(32))
    data = sign_head(head, [LOG, NEXT]).encode()
    for keys in ([LOG.verifier], [NEXT.verifier], [LOG.verifier, NEXT.verifier]):
        assert open_head(data, keys, "example.com/log")[0] == head
    with pytest.raises(ProofError, match="no known key"):
        open_head(data, [SigningKey.generate("example.com/log").verifier])
    with pytest.raises(ProofError, match="no known key"):
        open_head(data, [])
    with pytest.raises(ProofError, match="another log"):
        open_head(data, [LOG.verifier], "example.com/log2")


def test_extension_lines_of_other_logs_are_left_out() -> None:
    assert TreeHead.parse(TEXT + "extension\n") == TreeHead("example.com/log", 1, bytes(32))


ROOT = to_base64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"o\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"o\n1\n{ROOT}\n\n",
        f"o\n1\n{ROOT}\n\nextension\n",
        f"o\n01\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n1 \n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n{2**63}\n{ROOT}\n",
        f"o\n{'9' * 100_000}\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-2]}B=\n",
        f"o\n1\n{to_base64(bytes(31))}\n",
        f"o\n1\n {ROOT}\n",
        f"o\x01\n1\n{ROOT}\n",
    ],
)
def test_a_malformed_tree_head_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        TreeHead.parse(text)


@pytest.mark.parametrize(
    "head",
    [
        TreeHead("", 1, bytes(32)),
        TreeHead("a\nb", 1, bytes(32)),
        TreeHead("a\tb", 1, bytes(32)),
        TreeHead("a", -1, bytes(32)),
        TreeHead("a", 2**63, bytes(32)),
        TreeHead("a", 1, bytes(31)),
    ],
)
def test_a_head_that_cannot_be_written_is_not_signed(head: TreeHead) -> None:
    with pytest.raises(ProofError):
        sign_head(head, [LOG])


@given(st.integers(1, 2**63 - 1))
def test_a_cosignature_says_when_it_was_made(at: int) -> None:
    signature = cosign(WITNESS, TEXT, at)
    assert check(WITNESS.verifier, TEXT, signature) == at
    assert verified(Note(TEXT, (signature,)), [WITNESS.verifier]) == [WITNESS.verifier]


def test_a_cosignature_holds_for_one_text_one_time_and_one_key() -> None:
    signature = cosign(WITNESS, TEXT, 1)
    later = signature._replace(value=(2).to_bytes(8, "big") + signature.value[8:])
    timeless = signature._replace(value=bytes(8) + signature.value[8:])
    short = signature._replace(value=signature.value[:-1])
    for wrong in (later, timeless, short, signature._replace(value=b"")):
        with pytest.raises(ProofError):
            check(WITNESS.verifier, TEXT, wrong)
    with pytest.raises(ProofError):
        check(WITNESS.verifier, TEXT + "extension\n", signature)
    with pytest.raises(ProofError):
        check(SigningKey.generate(WITNESS.name, COSIGNATURE_V1).verifier, TEXT, signature)
    with pytest.raises(ProofError):
        check(LOG.verifier, TEXT, LOG.sign(TEXT))


@pytest.mark.parametrize("at", [0, 2**63, 2**64 - 1])
def test_a_cosignature_of_no_time_is_refused_though_the_key_has_signed_it(at: int) -> None:
    message = f"cosignature/v1\ntime {at}\n{TEXT}".encode()
    value = at.to_bytes(8, "big") + Ed25519PrivateKey.from_private_bytes(WITNESS_SEED).sign(message)
    with pytest.raises(ProofError, match="does not verify"):
        check(WITNESS.verifier, TEXT, Signature(WITNESS.name, WITNESS.verifier.key_id, value))


@pytest.mark.parametrize("at", [0, -1, 2**63])
def test_a_cosignature_has_a_time(at: int) -> None:
    with pytest.raises(ProofError):
        cosign(WITNESS, TEXT, at)


def test_a_key_does_one_thing_only() -> None:
    with pytest.raises(ProofError):
        WITNESS.sign(TEXT)
    with pytest.raises(ProofError):
        cosign(LOG, TEXT, 1)
