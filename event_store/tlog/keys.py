"""Keys of signed notes: `name+key id+base64(algorithm || key)`, the form of C2SP signed-note and golang.org/x/mod."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.errors import ProofError
from event_store.tlog.encoding import MAX_NUMBER, from_base64, require_printable, to_base64

ED25519 = 1
COSIGNATURE_V1 = 4
KEY_ID_SIZE = 4
KEY_SIZE = 32
SIGNATURE_SIZE = 64
TIMESTAMP_SIZE = 8
SIGNATURE_PREFIX = "\u2014 "
PRIVATE_PREFIX = "PRIVATE+KEY+"
MAX_NAME = 255


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
    """A public key with its name: an Ed25519 key that signs notes (algorithm 1) or cosigns tree heads (4).

    `public` is 32 bytes. Raises `ProofError` for an invalid part.
    """

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        _require_algorithm(self.algorithm)
        if len(self.public) != KEY_SIZE:
            raise ProofError("a public key is 32 bytes long")

    @property
    def key_id(self) -> bytes:
        """4 bytes: SHA-256(name || 0x0A || algorithm || public key)[:4]."""
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

        A cosignature consists of 8 bytes of time and the signature over a header and the text (C2SP tlog-cosignature).
        """
        if self.algorithm == COSIGNATURE_V1:
            if len(signature) != TIMESTAMP_SIZE + SIGNATURE_SIZE:
                return False
            at = int.from_bytes(signature[:TIMESTAMP_SIZE], "big")
            if not 0 < at <= MAX_NUMBER:
                return False
            message = cosigned_message(message, at)
            signature = signature[TIMESTAMP_SIZE:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key with its name. Only `encode` reveals the secret."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, algorithm: int, seed: bytes) -> None:
        """`seed` is the 32 bytes of RFC 8032; `algorithm` is 1 for signing notes, 4 for cosigning tree heads."""
        if len(seed) != KEY_SIZE:
            raise ProofError("a private key is 32 bytes long")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, algorithm, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier.encode()})"

    @property
    def name(self) -> str:
        """The name of the key, part of every signature."""
        return self.verifier.name

    @property
    def algorithm(self) -> int:
        """1 for signing notes, 4 for cosigning tree heads."""
        return self.verifier.algorithm

    @classmethod
    def generate(cls, name: str, algorithm: int = ED25519) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(name, algorithm, Ed25519PrivateKey.generate().private_bytes_raw())

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
        """The signature over a note's text. Raises `ProofError` for a cosigner's key: use `cosignatures.cosign`."""
        if self.algorithm != ED25519:
            raise ProofError("a cosigner's key can't sign notes")
        return Signature(self.name, self.verifier.key_id, self._private.sign(text.encode()))

    def sign_at(self, text: str, at: int) -> Signature:
        """The cosignature at `at` (seconds since 1970) over a tree head's text. Only for a cosigner's key."""
        if self.algorithm != COSIGNATURE_V1:
            raise ProofError("only a cosigner's key can cosign")
        if not 0 < at <= MAX_NUMBER:
            raise ProofError("the time of a cosignature is from 1 to 2^63 - 1 seconds")
        value = at.to_bytes(TIMESTAMP_SIZE, "big") + self._private.sign(cosigned_message(text.encode(), at))
        return Signature(self.name, self.verifier.key_id, value)


def cosigned_message(text: bytes, at: int) -> bytes:
    """The signed message of a cosignature/v1. The header separates it from any other use of the key."""
    return b"cosignature/v1\ntime %d\n" % at + text


def require_name(name: str) -> None:
    """Raise `ProofError` unless `name` is a valid key name: 1 to 255 characters, no spaces, no plus."""
    if not 0 < len(name) <= MAX_NAME or "+" in name or any(char.isspace() for char in name):
        raise ProofError("the name of a key is empty or too long, or contains a space or plus")
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


def _require_algorithm(algorithm: int) -> None:
    if algorithm not in {ED25519, COSIGNATURE_V1}:
        raise ProofError(f"unknown key algorithm {algorithm}; Ed25519 has 1, its cosignatures 4")
