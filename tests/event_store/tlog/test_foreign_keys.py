"""Keys and names of other logs: ECDSA (signature type 2) and key names of any length."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA as SIGNATURE
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256K1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.errors import ConfigurationError, ProofError
from event_store.signing import new_key, read_signer
from event_store.tlog.keys import COSIGNATURE_V1, ECDSA, ED25519, ML_DSA_44, SigningKey, VerifierKey
from event_store.tlog.notes import Note, Signature, verified
from event_store.tlog.policy import Policy
from event_store.tlog.proofs import consistency_proof
from event_store.tlog.tree_heads import TreeHead, open_head, sign_head
from event_store.tlog.witness_protocol import AddCheckpoint
from event_store.witness.cosigner import Outcome, Witness, read_logs
from event_store.witness.store import WitnessStore
from tests.event_store.tlog.naive import LEAVES, ROOTS, nodes_of

# Heads of two public logs, from the tests of github.com/transparency-dev/formats v0.1.1 (note/note_verifier_test.go).
SIGSTORE_KEY = (
    "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smG"
    "NM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
)
SIGSTORE_HEAD = (
    "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n"
    "\u2014 rekor.sigstore.dev wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoT"
    "URUCRdxwWBHHufk=\n"
)
PIXEL_KEY = (
    "pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4NDdGZcX0aiWVdWM5XJVy0M4VW"
    "D3AvyW5Q6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8="
)
PIXEL_HEAD = (
    "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n"
    "\u2014 pixel6_transparency_log kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB"
    "06/+g5O1FmYjXl06owL4\n"
)
WITNESS = SigningKey("witness.example/w1", COSIGNATURE_V1, bytes(range(32)))


@pytest.mark.parametrize(
    ("line", "note"), [(f"Rekor {SIGSTORE_KEY}", SIGSTORE_HEAD), (f"DEFAULT {PIXEL_KEY}", PIXEL_HEAD)]
)
def test_a_witness_cosigns_the_heads_of_public_logs_with_an_ecdsa_key(
    line: str, note: str, tmp_path: Path
) -> None:
    witness = Witness(WitnessStore(tmp_path / "witness.db"), [WITNESS], read_logs([line]))
    answer = witness.add_checkpoint(AddCheckpoint(0, (), note.encode()).encode())
    assert answer.outcome is Outcome.COSIGNED
    changed = note.replace("\n10\n", "\n11\n").replace("\n798034\n", "\n798035\n")
    answer = witness.add_checkpoint(AddCheckpoint(0, (), changed.encode()).encode())
    assert answer.outcome is Outcome.NOT_SIGNED


@pytest.mark.parametrize("curve", [SECP384R1(), SECP521R1()])
def test_an_ecdsa_key_may_be_on_a_larger_curve(curve: EllipticCurve) -> None:
    private = generate_private_key(curve)
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = VerifierKey.parse(VerifierKey("log.example/ec", ECDSA, spki).encode())
    text = TreeHead("log.example/ec", 3, ROOTS[3]).text()
    value = private.sign(text.encode(), SIGNATURE(SHA256()))
    note = Note(text, (Signature(key.name, key.key_id, value),))
    assert verified(note, [key]) == [key]
    with pytest.raises(ProofError, match="does not verify"):
        verified(note._replace(text=text.replace("\n3\n", "\n4\n")), [key])


def spki_of_others() -> dict[str, bytes]:
    other = generate_private_key(SECP256K1()).public_key()
    rsa = generate_rsa_key(65537, 2048).public_key()
    der = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "curve": other.public_bytes(*der), "rsa": rsa.public_bytes(*der), "ed25519": WITNESS.verifier.public,
        "empty": b"", "noise": b"\x30" * 91, "large": bytes(10_000),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["curve", "rsa", "ed25519", "empty", "noise", "large"])
def test_a_key_of_type_2_that_is_no_ecdsa_key_is_refused(kind: str) -> None:
    with pytest.raises(ProofError, match="algorithm 2"):
        VerifierKey("log.example/ec", ECDSA, spki_of_others()[kind])


def test_an_ecdsa_key_belongs_to_a_log_and_signs_nothing_here() -> None:
    assert Policy.parse(f"log {PIXEL_KEY}\nquorum none\n".encode()).logs[0].key.algorithm == ECDSA
    with pytest.raises(ProofError, match="this is the key of a log"):
        Policy.parse(f"witness w {PIXEL_KEY}\nquorum w\n".encode())
    with pytest.raises(ProofError, match="only verify"):
        SigningKey("log.example/ec", ECDSA, bytes(32))


LONG = "log.example/" + "x" * 4000


def test_a_name_has_no_limit_but_for_the_signatures_that_contain_it(tmp_path: Path) -> None:
    key = SigningKey(LONG, ED25519, bytes(32))
    head = TreeHead(LONG, 3, ROOTS[3])
    assert open_head(sign_head(head, [key]).encode(), [VerifierKey.parse(key.verifier.encode())])[0] == head
    witness = Witness(WitnessStore(tmp_path / "witness.db"), [WITNESS], read_logs([key.verifier.encode()]))
    for old, new in ((0, 3), (3, 7)):
        note = sign_head(TreeHead(LONG, new, ROOTS[new]), [key])
        proof = tuple(consistency_proof(old, new, nodes_of(LEAVES)))
        answer = witness.add_checkpoint(AddCheckpoint(old, proof, note.encode()).encode())
        assert answer.outcome is Outcome.COSIGNED
    with pytest.raises(ProofError, match="at most 255 bytes"):
        SigningKey("\u00fc" * 128, ML_DSA_44, bytes(32))


def test_a_signature_of_an_unknown_key_with_a_long_name_is_ignored() -> None:
    key = SigningKey("log.example/audit", ED25519, bytes(32))
    stranger = SigningKey(LONG, COSIGNATURE_V1, bytes(32))
    note = sign_head(TreeHead(key.name, 3, ROOTS[3]), [key])
    text = note.encode() + (stranger.sign_at(note.text, 1).line() + "\n").encode()
    assert open_head(text, [key.verifier])[0].size == 3


def test_an_ml_dsa_witness_refuses_a_log_whose_heads_it_can_not_cosign(tmp_path: Path) -> None:
    key = SigningKey(LONG, ED25519, bytes(32)).verifier
    cosigner = SigningKey("witness.example/w1", ML_DSA_44, bytes(32))
    with pytest.raises(ConfigurationError, match="can't cosign"):
        Witness(WitnessStore(tmp_path / "witness.db"), [cosigner], read_logs([key.encode()]))


def test_a_log_has_no_name_that_the_database_can_not_store() -> None:
    key = SigningKey(LONG, ED25519, bytes(32))
    with pytest.raises(ConfigurationError, match="more than 800 bytes"):
        read_signer(key.encode())
    with pytest.raises(ConfigurationError, match="more than 800 bytes"):
        new_key(LONG)
