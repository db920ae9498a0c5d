"""Trust policies in the C2SP form."""

from __future__ import annotations

import pytest

from domain.errors import ProofError
from event_store.tlog.cosignatures import check, cosign
from event_store.tlog.keys import COSIGNATURE_V1, ED25519, ML_DSA_44, SigningKey, VerifierKey, subtree_message
from event_store.tlog.notes import verified
from event_store.tlog.policy import Policy
from event_store.tlog.tree_heads import TreeHead, open_head, sign_head

LOG = SigningKey("log.example/audit", ED25519, bytes(32))
WITNESSES = [
    SigningKey(f"w{n}.example", (COSIGNATURE_V1, ML_DSA_44)[n % 2], bytes([n + 1] * 32)) for n in range(6)
]
KEYS = [key.verifier for key in WITNESSES]
EXAMPLE = "\n".join(
    [
        "# two organisations",
        f"log {LOG.verifier.encode()} https://log.example/",
        *(f"witness X{n} {KEYS[n].encode()}" for n in range(3)),
        "group X-witnesses 2 X0 X1 X2",
        *(f"  witness\tY{n} {KEYS[n + 3].encode()} https://w{n}.example/" for n in range(3)),
        "group Y-witnesses any Y0 Y1 Y2",
        "group X-and-Y all X-witnesses Y-witnesses",
        "quorum X-and-Y",
        "",
    ]
)


@pytest.mark.parametrize(
    ("cosigners", "satisfied"),
    [
        ([], False), ([0, 1], False), ([0, 3], False), ([0, 1, 3], True), ([0, 2, 5], True), ([3, 4, 5], False),
        ([0, 1, 2, 3, 4, 5], True),
    ],
)  # fmt: skip
def test_the_example_of_the_specification_needs_two_of_three_and_one_of_three(
    cosigners: list[int], satisfied: bool
) -> None:
    policy = Policy.parse(EXAMPLE.encode())
    assert policy.is_satisfied_by([KEYS[n] for n in cosigners]) is satisfied


def test_a_policy_has_its_parties_and_their_addresses() -> None:
    policy = Policy.parse(EXAMPLE.encode())
    assert [(log.key, log.url) for log in policy.logs] == [(LOG.verifier, "https://log.example/")]
    assert policy.witnesses["Y1"].url == "https://w1.example/"
    assert policy.witnesses["X1"].key.algorithm == ML_DSA_44


def test_no_quorum_needs_no_cosignature() -> None:
    assert Policy.parse(b"quorum none\n").is_satisfied_by([])
    one = Policy.parse(f"witness w {KEYS[0].encode()}\nquorum w\n".encode())
    assert one.is_satisfied_by([KEYS[0]])
    assert not one.is_satisfied_by([KEYS[1]])


W = f"witness a {KEYS[0].encode()}\nwitness b {KEYS[1].encode()}\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "quorum none", "quorum x\n", "quorum none\nquorum none\n", "group g any a\nquorum g\n", "witness none x\n",
        W + f"witness c {KEYS[0].encode()}\nquorum c\n",
        W + "group g 0 a b\nquorum g\n", W + "group g 3 a b\nquorum g\n",
        W + "group g 01 a b\nquorum g\n", W + "group g any a a\nquorum g\n", W + "group a any b\nquorum a\n",
        W + "group g any a b\ngroup h any a\nquorum h\n", W + "group g any\nquorum g\n",
        W + "quorum a\nwhat\n",
        f"log {KEYS[0].encode()}\nquorum none\n", f"witness a {LOG.verifier.encode()}\nquorum a\n",
        f"log {LOG.verifier.encode()}\nlog {LOG.verifier.encode()}\nquorum none\n", "log x\nquorum none\n",
        "quorum none\r\n", "quorum\u00a0none\n", W + "group g ٢ a b\nquorum g\n",
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        Policy.parse(text.encode())


def test_the_line_that_is_wrong_is_named() -> None:
    with pytest.raises(ProofError, match="line 3 of the policy"):
        Policy.parse(b"# a\n\nwitness\nquorum none\n")


def test_a_policy_is_bounded() -> None:
    with pytest.raises(ProofError, match="longer"):
        Policy.parse(b"#" * (1 << 20) + b"\n")
    many = "".join(
        f"witness w{n} {SigningKey(f'w{n}', COSIGNATURE_V1, n.to_bytes(32)).verifier.encode()}\n"
        for n in range(1001)
    )
    with pytest.raises(ProofError, match="at most 1000"):
        Policy.parse(many.encode())


HEAD = TreeHead(LOG.name, 5, bytes(range(32)))


def test_an_ml_dsa_key_cosigns_and_signs_beside_ed25519() -> None:
    witness = WITNESSES[1]
    signature = cosign(witness, HEAD.text(), 1_700_000_000)
    assert check(witness.verifier, HEAD.text(), signature) == 1_700_000_000
    with pytest.raises(ProofError):
        check(witness.verifier, TreeHead(LOG.name, 6, bytes(32)).text(), signature)
    beside = SigningKey(LOG.name, ML_DSA_44, bytes(32))
    note = sign_head(HEAD, [LOG, beside])
    assert open_head(note.encode(), [beside.verifier])[0] == HEAD
    assert verified(note, [LOG.verifier, beside.verifier]) == [LOG.verifier, beside.verifier]


def test_the_signed_message_is_that_of_the_specification() -> None:
    message = subtree_message("w.example", HEAD.text().encode(), 7)
    assert message == (
        b"subtree/v1\n\0" + b"\x09w.example" + (7).to_bytes(8) + bytes([len(LOG.name)]) + LOG.name.encode()
        + bytes(8) + (5).to_bytes(8) + bytes(range(32))
    )  # fmt: skip


@pytest.mark.parametrize("text", ["no head", "a\nb\nc\n", "a\n1\nAAAA\n", f"{'x' * 256}\n1\n{'A' * 43}=\n"])
def test_an_ml_dsa_key_signs_nothing_but_heads(text: str) -> None:
    with pytest.raises(ProofError):
        WITNESSES[1].sign_at(text, 1)
    assert not WITNESSES[1].verifier.verify(text.encode(), bytes(2428))


def test_an_ml_dsa_key_comes_back_as_it_was_written() -> None:
    key = WITNESSES[1]
    assert VerifierKey.parse(key.verifier.encode()) == key.verifier
    assert SigningKey.parse(key.encode()).verifier == key.verifier
    assert len(key.verifier.public) == 1312
