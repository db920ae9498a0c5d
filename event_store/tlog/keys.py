"""Keys of signed notes: `name+key id+base64(algorithm || key)`, the form of C2SP signed-note and golang.org/x/mod."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA as ECDSA_SIGNATURE,
)
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from domain.errors import ProofError
from event_store.tlog.encoding import (
    MAX_NUMBER,
    from_base64,
    hash_from_base64,
    number,
    require_printable,
    to_base64,
)

ED25519 = 1
ECDSA = 2
COSIGNATURE_V1 = 4
ML_DSA_44 = 6
KEY_ID_SIZE = 4
SEED_SIZE = 32
TIMESTAMP_SIZE = 8
_SIZES = {ED25519: (32, 64), COSIGNATURE_V1: (32, 64), ML_DSA_44: (1312, 2420)}
"""Bytes of the public key and of the signature, without the time of a cosignature."""
COSIGNING = frozenset({COSIGNATURE_V1, ML_DSA_44})
"""The algorithms of witnesses."""
SIGNATURE_PREFIX = "\u2014 "
PRIVATE_PREFIX = "PRIVATE+KEY+"
MAX_COSIGNER_NAME = 255
"""Bytes of the name of an ML-DSA-44 key, which the signed message contains. Other names have no limit."""
_CURVES = (SECP256R1, SECP384R1, SECP521R1)
_MAX_SPKI = 256
"""Bytes of a DER key on the largest of these curves, with room."""


class Signature(NamedTuple):
    """One signature of a note. `value` is the output of the algorithm, without the 4 bytes of the key id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """The signature line, without its newline."""
        return f"{SIGNATURE_PREFIX}{self.name} {to_base64(self.key_id + self.value)}"

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Parse a line without its newline. Raises `ProofError`."""
        if not line.startswith(SIGNATURE_PREFIX):
            raise ProofError("a signature line does not begin with an em dash and a space")
        name, _, encoded = line.removeprefix(SIGNATURE_PREFIX).partition(" ")
        require_name(name)
        value = from_base64(encoded, "a signature")
        if len(value) <= KEY_ID_SIZE:
            raise ProofError("a signature is shorter than its key id")
        return cls(name, value[:KEY_ID_SIZE], value[KEY_ID_SIZE:])


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name. Raises `ProofError` for an invalid part.

    An Ed25519 key signs notes (algorithm 1) or cosigns tree heads (4), and has 32 bytes. An ML-DSA-44 key (6) cosigns
    tree heads, of its own log too, and has 1,312 bytes (FIPS 204). An ECDSA key (2) of another log is a DER
    SubjectPublicKeyInfo on the curve P-256, P-384 or P-521; its signatures are DER, over SHA-256.
    """

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        _require_algorithm(self.algorithm)
        if self.algorithm == ECDSA:
            _ecdsa_key(self.public)
            return
        if self.algorithm == ML_DSA_44 and len(self.name.encode()) > MAX_COSIGNER_NAME:
            raise ProofError(f"the name of an ML-DSA-44 key has at most {MAX_COSIGNER_NAME} bytes")
        if len(self.public) != _SIZES[self.algorithm][0]:
            raise ProofError(
                f"a public key of algorithm {self.algorithm} is {_SIZES[self.algorithm][0]} bytes long"
            )

    @property
    def key_id(self) -> bytes:
        """4 bytes: SHA-256(name || 0x0A || algorithm || public key)[:4]. For ECDSA, SHA-256(public key)[:4]."""
        if self.algorithm == ECDSA:
            return sha256(self.public).digest()[:KEY_ID_SIZE]
        return _key_id(self.name, bytes([self.algorithm]) + self.public)

    def encode(self) -> str:
        """The key as a vkey."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse a vkey. Raises `ProofError` when it is malformed or its key id does not match."""
        name, key_id, algorithm, public = _parts(text)
        key = cls(name, algorithm, public)
        if key.key_id.hex() != key_id:
            raise ProofError("the key id does not match the key's name and value")
        return key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` (without key id) over the text of a note.

        A cosignature consists of 8 bytes of time and the signature over a header and the text, or for ML-DSA-44 over a
        structure of the text's first lines (C2SP tlog-cosignature).
        """
        try:
            self._check(message, signature)
        except (InvalidSignature, ValueError, ProofError):
            return False
        return True

    def _check(self, message: bytes, signature: bytes) -> None:
        if self.algorithm == ED25519:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        elif self.algorithm == ECDSA:
            _ecdsa_key(self.public).verify(signature, message, ECDSA_SIGNATURE(SHA256()))
        else:
            at = int.from_bytes(signature[:TIMESTAMP_SIZE], "big")
            value = signature[TIMESTAMP_SIZE:]
            if len(value) != _SIZES[self.algorithm][1] or at > MAX_NUMBER:
                raise ProofError("a cosignature has a time and a signature")
            self._check_cosignature(message, at, value)

    def _check_cosignature(self, message: bytes, at: int, value: bytes) -> None:
        if self.algorithm == ML_DSA_44:
            key = MLDSA44PublicKey.from_public_bytes(self.public)
            key.verify(value, subtree_message(self.name, message, at))
        elif at == 0:
            raise ProofError("a cosignature has a time")
        else:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, cosigned_message(message, at))


class SigningKey:
    """A private key with its name. Only `encode` reveals the secret."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, algorithm: int, seed: bytes) -> None:
        """`seed` is 32 bytes (RFC 8032, FIPS 204). For `algorithm` see `VerifierKey`."""
        if len(seed) != SEED_SIZE:
            raise ProofError("a private key is 32 bytes long")
        _require_algorithm(algorithm)
        if algorithm == ECDSA:
            raise ProofError("ECDSA keys only verify: sign with an Ed25519 key")
        self._private: Ed25519PrivateKey | MLDSA44PrivateKey = (
            MLDSA44PrivateKey.from_seed_bytes(seed)
            if algorithm == ML_DSA_44
            else Ed25519PrivateKey.from_private_bytes(seed)
        )
        self.verifier = VerifierKey(name, algorithm, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier.encode()})"

    @property
    def name(self) -> str:
        """The name of the key, part of every signature."""
        return self.verifier.name

    @property
    def algorithm(self) -> int:
        """See `VerifierKey`."""
        return self.verifier.algorithm

    @classmethod
    def generate(cls, name: str, algorithm: int = ED25519) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(name, algorithm, secrets.token_bytes(SEED_SIZE))

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Parse the output of `encode`. Error messages repeat no part of it."""
        if not text.startswith(PRIVATE_PREFIX):
            raise ProofError("a private key begins with PRIVATE+KEY+")
        name, key_id, algorithm, seed = _parts(text.removeprefix(PRIVATE_PREFIX))
        key = cls(name, algorithm, seed)
        if key.verifier.key_id.hex() != key_id:
            raise ProofError("the key id does not match the private key")
        return key

    def encode(self) -> str:
        """The secret itself: `PRIVATE+KEY+name+key id+base64(algorithm || seed)`, as golang.org/x/mod/sumdb/note."""
        secret = to_base64(bytes([self.algorithm]) + self._private.private_bytes_raw())
        return f"{PRIVATE_PREFIX}{self.name}+{self.verifier.key_id.hex()}+{secret}"

    def sign(self, text: str) -> Signature:
        """The signature over a note's text: for ML-DSA-44 of a tree head's, at the present time.

        Raises `ProofError` for a cosigner's key: use `cosignatures.cosign`.
        """
        if self.algorithm == ML_DSA_44:
            return self.sign_at(text, int(time.time()))
        if self.algorithm != ED25519:
            raise ProofError("a cosigner's key can't sign notes")
        return Signature(self.name, self.verifier.key_id, self._private.sign(text.encode()))

    def sign_at(self, text: str, at: int) -> Signature:
        """The cosignature at `at` (seconds since 1970) over a tree head's text. Only for a cosigner's key."""
        if self.algorithm == ED25519:
            raise ProofError("only a cosigner's key can cosign")
        if not 0 < at <= MAX_NUMBER:
            raise ProofError("the time of a cosignature is from 1 to 2^63 - 1 seconds")
        if self.algorithm == ML_DSA_44:
            message = subtree_message(self.name, text.encode(), at)
        else:
            message = cosigned_message(text.encode(), at)
        value = at.to_bytes(TIMESTAMP_SIZE, "big") + self._private.sign(message)
        return Signature(self.name, self.verifier.key_id, value)


def cosigned_message(text: bytes, at: int) -> bytes:
    """The signed message of a cosignature/v1. The header separates it from any other use of the key."""
    return b"cosignature/v1\ntime %d\n" % at + text


def subtree_message(cosigner: str, text: bytes, at: int) -> bytes:
    """The signed message of an ML-DSA-44 cosignature: the structure `cosigned_message` of C2SP tlog-cosignature.

    `text` is that of a tree head. Raises `ProofError` for any other text.
    """
    lines = text.split(b"\n", 3)
    if len(lines) < 4:
        raise ProofError("a tree head has at least three lines")
    origin, name = lines[0], cosigner.encode()
    if not 0 < len(origin) < 256 or len(name) > 255:
        raise ProofError("the names in an ML-DSA-44 cosignature have 1 to 255 bytes")
    size = number(lines[1].decode("utf-8", "replace"), "the tree size")
    root = hash_from_base64(lines[2].decode("utf-8", "replace"), "the root hash")
    parts = (
        b"subtree/v1\n\0",
        bytes([len(name)]) + name,
        at.to_bytes(8, "big"),
        bytes([len(origin)]) + origin,
        (0).to_bytes(8, "big"),
        size.to_bytes(8, "big"),
        root,
    )
    return b"".join(parts)


def require_name(name: str) -> None:
    """Raise `ProofError` unless `name` is a valid key name: not empty, no spaces, no plus."""
    if not name or "+" in name or any(char.isspace() for char in name):
        raise ProofError("the name of a key is empty, or contains a space or plus")
    require_printable(name, "key's name")


def _key_id(name: str, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + key).digest()[:KEY_ID_SIZE]


def _parts(text: str) -> tuple[str, str, int, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise ProofError("a key is written as name+key id+base64")
    name, key_id, encoded = parts
    value = from_base64(encoded, "the key")
    if not value:
        raise ProofError("the key is empty")
    return name, key_id, value[0], value[1:]


def _ecdsa_key(spki: bytes) -> EllipticCurvePublicKey:
    """A DER key (RFC 5480). Raises `ProofError` for any other."""
    try:
        key = load_der_public_key(spki) if len(spki) <= _MAX_SPKI else None
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ProofError("the key of algorithm 2 is no DER public key") from exc
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise ProofError("the key of algorithm 2 is no ECDSA key on the curve P-256, P-384 or P-521")
    return key


def _require_algorithm(algorithm: int) -> None:
    if algorithm != ECDSA and algorithm not in _SIZES:
        raise ProofError(
            f"unknown key algorithm {algorithm}; Ed25519 has 1, ECDSA 2, Ed25519 cosignatures 4, ML-DSA-44 6"
        )
