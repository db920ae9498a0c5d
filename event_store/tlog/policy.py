"""Trust policies (C2SP tlog-policy): which logs and witnesses count, and which cosignatures a checkpoint needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.errors import ProofError
from event_store.tlog.keys import COSIGNATURE_V1, COSIGNING, VerifierKey

NONE = "none"
"""The quorum of a policy that needs no cosignature."""
MAX_POLICY = 1 << 20
"""Bytes of a policy. A public key of ML-DSA-44 has 1.8 kB."""
MAX_LINES = 1000
"""Logs, witnesses and groups of one policy; the specification recommends 32 of each."""


class Party(NamedTuple):
    """A log or a witness: its public key, and its address if the policy has one."""

    key: VerifierKey
    url: str = ""


class Group(NamedTuple):
    """A group witnesses a checkpoint when at least `threshold` of its members do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `quorum` is a witness, a group, or `NONE`. `text` is the file, byte for byte."""

    logs: tuple[Party, ...] = ()
    witnesses: Mapping[str, Party] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = NONE
    text: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Parse a policy file. Raises `ProofError` with the number of the line."""
        if len(data) > MAX_POLICY:
            raise ProofError(f"the policy is longer than {MAX_POLICY} bytes")
        reader = _Reader()
        lines = data.split(b"\n")
        if lines.pop():
            raise ProofError("the policy does not end with a newline")
        for number, line in enumerate(lines, 1):
            try:
                reader.read(_words(line))
            except ProofError as exc:
                raise ProofError(f"line {number} of the policy: {exc}") from exc
        return reader.policy(data)

    def is_satisfied_by(self, cosigners: Collection[VerifierKey]) -> bool:
        """Whether the cosignatures of these keys are the quorum. The caller has verified them."""
        if self.quorum == NONE:
            return True
        public = {key.public for key in cosigners}
        return (
            self.common_bound({n: int(party.key.public in public) for n, party in self.witnesses.items()}) > 0
        )

    def common_bound(self, sizes: Mapping[str, int]) -> int:
        """The largest size that a quorum has reached, when each witness has reached its size in `sizes`.

        The policy has a quorum of witnesses.
        """
        reached = dict(sizes)
        for name, group in self.groups.items():  # a group names only what stands before it
            members = sorted((reached[member] for member in group.members), reverse=True)
            reached[name] = members[group.threshold - 1]
        return reached[self.quorum]


def _words(line: bytes) -> list[str]:
    if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line):
        raise ProofError("it has control characters")
    # Names are opaque bytes: Latin-1 keeps each byte as it is, and knows no other white space than these two.
    text = line.decode("latin-1").strip(" \t")
    return [] if text.startswith("#") else [word for word in text.replace("\t", " ").split(" ") if word]


class _Reader:
    """Reads the lines of a policy in their order: a line names only what stands before it."""

    def __init__(self) -> None:
        self._logs: list[Party] = []
        self._witnesses: dict[str, Party] = {}
        self._groups: dict[str, Group] = {}
        self._quorum: str | None = None

    def read(self, words: list[str]) -> None:
        """One line."""
        if not words:
            return
        if len(self._logs) + len(self._witnesses) + len(self._groups) >= MAX_LINES:
            raise ProofError(f"a policy has at most {MAX_LINES} logs, witnesses and groups")
        keyword, *rest = words
        if keyword == "log" and len(rest) in {1, 2}:
            self._add_log(*rest)
        elif keyword == "witness" and len(rest) in {2, 3}:
            self._add_witness(*rest)
        elif keyword == "group" and len(rest) >= 3:
            self._add_group(rest[0], rest[1], rest[2:])
        elif keyword == "quorum" and len(rest) == 1:
            self._set_quorum(rest[0])
        else:
            raise ProofError(
                "write `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME K NAME...` or `quorum NAME`"
            )

    def policy(self, text: bytes) -> Policy:
        """The whole policy, which `text` is. Raises `ProofError` without a quorum."""
        if self._quorum is None:
            raise ProofError("the policy has no quorum; write `quorum none` when no cosignature is needed")
        return Policy(tuple(self._logs), self._witnesses, self._groups, self._quorum, text)

    def _add_log(self, vkey: str, url: str = "") -> None:
        key = VerifierKey.parse(vkey)
        if key.algorithm == COSIGNATURE_V1:
            raise ProofError("this is the key of a witness")
        if any(key.public == log.key.public for log in self._logs):
            raise ProofError("this log has the key of another one")
        self._logs.append(Party(key, url))

    def _add_witness(self, name: str, vkey: str, url: str = "") -> None:
        self._require_new(name)
        key = VerifierKey.parse(vkey)
        if key.algorithm not in COSIGNING:
            raise ProofError("this is the key of a log; a witness has algorithm 4 or 6")
        if any(key.public == witness.key.public for witness in self._witnesses.values()):
            raise ProofError("this witness has the key of another one")
        self._witnesses[name] = Party(key, url)

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        self._require_new(name)
        for member in members:
            if member not in self._witnesses and member not in self._groups:
                raise ProofError(f"{_shown(member)} is not defined before")
        self._require_once(members)
        count = {"any": 1, "all": len(members)}.get(threshold)
        if count is None:
            decimal = (
                threshold.isascii() and threshold.isdigit() and len(threshold) < 5 and threshold[0] != "0"
            )
            count = int(threshold) if decimal else 0
        if not 1 <= count <= len(members):
            raise ProofError(f"a threshold is `any`, `all` or a number from 1 to {len(members)}")
        self._groups[name] = Group(count, tuple(members))

    def _require_once(self, members: list[str]) -> None:
        taken = {member for group in self._groups.values() for member in group.members}
        if len(set(members)) < len(members) or taken & set(members):
            raise ProofError("a name is a member of one group at most, and once")

    def _set_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise ProofError("there is a quorum already")
        if name != NONE and name not in self._witnesses and name not in self._groups:
            raise ProofError(f"{_shown(name)} is not defined before")
        self._quorum = name

    def _require_new(self, name: str) -> None:
        if name == NONE or name in self._witnesses or name in self._groups:
            raise ProofError(f"the name {_shown(name)} is taken")


def _shown(name: str) -> str:
    return repr(name.encode("latin-1").decode("utf-8", "replace")[:80])
