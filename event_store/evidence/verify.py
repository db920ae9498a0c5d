#!/usr/bin/env python3
"""Check an evidence kit: that its events are, byte for byte, in the log whose tree head was signed.

    python3 -I verify.py [KIT] --vkey 'name+key id+base64' [--witness 'name+key id+base64']

KIT is the folder or the .zip; the default is the folder of this file. Take the log's public key from the people who run
the log, or from your own notes of an earlier day, never from the kit alone: a forger can put another key into a forged
kit. A forger can also replace this program: it is best to run a copy that you trust.

It needs Python 3.9 or later, the package `cryptography` and report.py beside it, and it writes nothing. Exit codes:
    0  everything is verified, by a public key that you gave with --vkey
    1  verification failed; the first bad file is named
    2  the command line is wrong
    4  the kit is consistent, but no --vkey was given: that proves nothing about who made it

Formats: signed notes, tree heads, cosignatures and proofs are those of https://c2sp.org (signed-note, tlog-checkpoint,
tlog-cosignature, tlog-proof); the hashes of the tree are those of RFC 6962, section 2.1.
"""

import sys

# Other files of the kit must not run as programs: without this, a uuid.py beside this file would shadow Python's own.
# It precedes all other imports, even that of __future__, which Python searches in the same places.
if __name__ == "__main__" and not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
    sys.path.pop(0)

import argparse
import base64
import hashlib
import importlib.util
import json
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older release of cryptography
    MLDSA44PublicKey = None  # type: ignore[assignment,misc]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - Python 3.9 has no datetime.UTC
NATIVE = 1  # this body is the event itself; in other formats, the event is the first line of the body
AGGREGATE = (
    100  # this body is an event of an aggregate, such as a review: the stream and its position name it
)
ED25519, COSIGNATURE, ML_DSA_44 = 1, 4, 6  # algorithms of keys
SIZES = {ED25519: (33, 64), COSIGNATURE: (33, 72), ML_DSA_44: (1313, 2428)}  # bytes of keys and of signatures

ENTRY = re.compile(
    rb"audit-trail-entry/1\n(?P<position>0|[1-9][0-9]{0,18})\n(?P<event_id>[0-9a-f]{32})\n(?P<recorded>0|[1-9][0-9]{0,18})\n"
    rb"(?P<stream>[0-9a-f]{32})\n(?P<stream_position>0|[1-9][0-9]{0,18})\n(?P<format>[1-9][0-9]{0,18})\n(?P<digest>[0-9a-f]{64})\n"
)
# The exit code when only the kit's own keys were used. It repeats audit_trail.exit_codes: this program runs alone.
NOT_PROVEN = 4
LINE = re.compile(rb'\{"position":([0-9]{1,19}),')
OF_AGGREGATE = re.compile(rb'\{[^{}]*"stream":"([^"]*)","stream_position":([0-9]+),"format":100,')
LIMITS = {"manifest.json": 64 << 20, "SHA256SUMS": 64 << 20, "bodies": 256 << 20}
MAX_SIGNATURES = 100
LIMIT = 1 << 20  # bytes of any other file: no genuine one has more
UNREADABLE = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, ArithmeticError, LookupError, TypeError, ValueError,
    AttributeError, RuntimeError, MemoryError,
)  # fmt: skip


class Bad(Exception):  # noqa: N818 - the output uses this word
    """The content of `file` does not verify."""

    def __init__(self, file: str, what: str) -> None:
        super().__init__(f"{quoted(file)}: {what}")


class Key(NamedTuple):
    """A public key (C2SP signed-note, "vkey")."""

    name: str
    key_id: bytes
    algorithm: int
    public: bytes


class Head(NamedTuple):
    """The content of the checkpoint."""

    origin: str
    size: int
    root: bytes


class Kit:
    """The files of a folder or a zip, by relative path."""

    def __init__(self, path: Path) -> None:
        self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        self._base = path
        self._prefix = ""
        if self._zip is None:
            found = sorted(each for each in path.rglob("*") if each.is_symlink() or not each.is_dir())
            for each in found:
                if each.is_symlink() or not each.is_file():
                    raise Bad(each.relative_to(path).as_posix(), "not a regular file")
            names = [each.relative_to(path).as_posix() for each in found]
        else:
            for member in self._zip.infolist():
                # With other methods Python decompresses a whole read at once, however large the result is.
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise Bad(member.filename, "its compression method is not used in kits")
            names = [each.filename for each in self._zip.infolist() if not each.is_dir()]
            tops = {PurePosixPath(name).parts[0] for name in names if name}
            if len(tops) == 1 and "manifest.json" not in names:
                self._prefix = tops.pop() + "/"
            names = sorted(name[len(self._prefix) :] for name in names)
        self.names = set(names)
        for index in range(1, len(names)):
            if names[index - 1] == names[index]:
                raise Bad(names[index], "it occurs twice")

    def open(self, name: str) -> IO[bytes]:
        """A file of the kit."""
        if name not in self.names:
            raise Bad(name, "it is missing")
        return self._zip.open(self._prefix + name) if self._zip else (self._base / name).open("rb")

    def read(self, name: str) -> bytes:
        """A whole file of the kit. Raises `Bad` when it is larger than such a file can be."""
        limit = LIMITS.get(name.partition("/")[0], LIMIT)
        data = bytearray()
        for chunk in self.chunks(name):
            data += chunk
            if len(data) > limit:
                raise Bad(name, f"it is larger than {limit} bytes, and no such file is")
        return bytes(data)

    def lines(self, name: str) -> list[str]:
        """The lines of a file; none when it does not exist."""
        return self.read(name).decode("utf-8", "replace").splitlines() if name in self.names else []

    def digest(self, name: str) -> str:
        """The SHA-256 of a file, in hex."""
        digest = hashlib.sha256()
        for chunk in self.chunks(name):
            digest.update(chunk)
        return digest.hexdigest()

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file of the kit, in pieces."""
        try:
            with self.open(name) as file:
                yield from iter(lambda: file.read(1 << 20), b"")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
            raise Bad(name, f"it can't be unpacked: {exc}") from exc


def check_files(kit: Kit) -> dict[str, Any]:
    """The manifest. Raises `Bad` unless the kit has exactly the files and digests that it names."""
    sums = kit.read("SHA256SUMS")
    own = f"{kit.digest('manifest.json')}  manifest.json\n".encode()
    if not sums.endswith(own):
        raise Bad("manifest.json", "it is not the one that SHA256SUMS names")
    manifest: dict[str, Any] = parsed("manifest.json", kit.read("manifest.json"))
    files = manifest["files"]
    for name in sorted({*files, *kit.names} - {"manifest.json", "SHA256SUMS"}):
        if name not in kit.names:
            raise Bad(name, "it is in the manifest and missing from the kit")
        if name not in files:
            raise Bad(name, "it is in the kit and not in the manifest")
        if kit.digest(name) != files[name]:
            raise Bad(name, "its SHA-256 is not the one in the manifest")
    if sums != "".join(f"{files[name]}  {name}\n" for name in files).encode() + own:
        raise Bad("SHA256SUMS", "it differs from the manifest")
    return manifest


def parsed(file: str, text: bytes) -> Any:
    """JSON, with numbers in their original notation."""
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except RecursionError as exc:
        raise Bad(file, "its JSON is nested deeper than this program can read") from exc


def parse_key(text: str) -> Key:
    """A public key as text: name+key id+base64(algorithm || public key). Keys of other algorithms verify nothing."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    value = from_base64("the key", encoded)
    if not value or len(value) != SIZES.get(value[0], (len(value), 0))[0]:
        raise Bad("the key", f"it is {len(value)} bytes long, and no such key is")
    key = Key(name, hashlib.sha256(name.encode() + b"\n" + value).digest()[:4], value[0], value[1:])
    if key.key_id.hex() != key_id:
        raise Bad("the key", f"the parts of {text!r} do not belong together")
    return key


def from_base64(file: str, text: str, size: int = 0) -> bytes:
    """Decode base64; `size` is the required number of bytes, if any."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise Bad(file, "it contains invalid base64") from exc
    if size and len(value) != size:
        raise Bad(file, f"it has something that is {len(value)} bytes long instead of {size}")
    return value


def signatures(file: str, note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """The text of a signed note, and its signatures: name, key id, value."""
    text, _, lines = note.rpartition(b"\n\n")
    if not re.fullmatch("(?:\u2014 [^ +\n]+ [A-Za-z0-9+/]+=*\n)+", lines.decode("utf-8", "replace")):
        raise Bad(file, "not a signed note")
    if lines.count(b"\n") > MAX_SIGNATURES:
        raise Bad(file, f"it has more than {MAX_SIGNATURES} signatures")
    parts = [line.split(" ") for line in lines.decode().split("\n")[:-1]]
    values = [(name, from_base64(file, encoded)) for _, name, encoded in parts]
    return text + b"\n", [(name, value[:4], value[4:]) for name, value in values]


def signed_by(key: Key, file: str, text: bytes, found: list[tuple[str, bytes, bytes]]) -> "int | None":
    """None when the key has not signed; else the time of the cosignature, or 0 for a plain signature."""
    for name, key_id, value in found:
        if (name, key_id) != (key.name, key.key_id):
            continue
        at = 0 if key.algorithm == ED25519 else int.from_bytes(value[:8], "big")
        try:
            if len(value) != SIZES[key.algorithm][1]:
                raise Bad(file, f"the signature of {key.name} has a wrong length")
            verify_signature(key, text, value, at)
        except (InvalidSignature, ValueError, LookupError) as exc:
            raise Bad(file, f"the signature of {key.name} does not verify") from exc
        return at
    return None


def verify_signature(key: Key, text: bytes, value: bytes, at: int) -> None:
    """Raise an exception unless the key has signed the text, at this time if it is a cosigner's."""
    if key.algorithm == ML_DSA_44:
        MLDSA44PublicKey.from_public_bytes(key.public).verify(value[8:], subtree_message(key.name, text, at))
        return
    message = b"cosignature/v1\ntime %d\n" % at + text if key.algorithm == COSIGNATURE else text
    Ed25519PublicKey.from_public_bytes(key.public).verify(value[-64:], message)


def subtree_message(cosigner: str, text: bytes, at: int) -> bytes:
    """The signed message of an ML-DSA-44 cosignature over a tree head (C2SP tlog-cosignature)."""
    origin, size, root = text.split(b"\n", 3)[:3]
    name = cosigner.encode()
    return (
        b"subtree/v1\n\0" + bytes([len(name)]) + name + at.to_bytes(8, "big") + bytes([len(origin)]) + origin
        + bytes(8) + int(size).to_bytes(8, "big") + base64.b64decode(root)
    )  # fmt: skip


def check_head(file: str, note: bytes, keys: list[Key], witnesses: list[Key]) -> Head:
    """The tree head. Raises `Bad` unless a key of the log and each of the witnesses have signed it."""
    text, found = signatures(file, note)
    if not any(key.algorithm == ED25519 and signed_by(key, file, text, found) is not None for key in keys):
        raise Bad(file, "none of the given keys has signed it")
    for key in witnesses:
        at = signed_by(key, file, text, found) if key.algorithm in (COSIGNATURE, ML_DSA_44) else None
        if at is None:
            raise Bad(file, f"the witness {key.name} has not cosigned it")
        say(f"cosigned by {quoted(key.name)} at {EPOCH + timedelta(seconds=at):%Y-%m-%d %H:%M:%S} UTC")
    lines = text.decode("utf-8", "replace").split("\n")
    if len(lines) != 4 or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise Bad(file, "not a tree head")
    return Head(lines[0], int(lines[1]), from_base64(file, lines[2], 32))


def check_event(kit: Kit, line: bytes, head: Head, note: bytes) -> int:
    """The position of the event in this line of events.ndjson. Raises `Bad` unless all files of the event agree."""
    begin = LINE.match(line)
    if begin is None:
        raise Bad("events.ndjson", "it has a line that is not an event")
    position = int(begin[1])
    body, entry = kit.read(f"bodies/{position}"), kit.read(f"entries/{position}")
    fields = ENTRY.fullmatch(entry)
    if fields is None or int(fields["position"]) != position:
        raise Bad(f"entries/{position}", "not the leaf entry of this position")
    if hashlib.sha256(body).hexdigest().encode() != fields["digest"]:
        raise Bad(f"bodies/{position}", "its SHA-256 is not the one in the leaf entry")
    if line != line_of(fields, body):
        raise Bad("events.ndjson", f"the line of position {position} is not what entry and body say")
    event = parsed("events.ndjson", line)["event"]
    if int(fields["format"]) != AGGREGATE and uuid.UUID(event["event_id"]).hex.encode() != fields["event_id"]:
        raise Bad(f"bodies/{position}", "its event id is not the one in the leaf entry")
    check_proof(kit, position, entry, head, note)
    return position


def line_of(entry: re.Match[bytes], body: bytes) -> bytes:
    """The line of events.ndjson for a leaf entry and a body. Line ends within the JSON become spaces."""
    event = body if int(entry["format"]) in (NATIVE, AGGREGATE) else body.split(b"\n", 1)[0]
    recorded = EPOCH + timedelta(microseconds=int(entry["recorded"]))
    head = (
        f'{{"position":{int(entry["position"])}'
        f',"recorded_at":"{recorded:%Y-%m-%dT%H:%M:%S}.{recorded.microsecond:06}Z"'
        f',"stream":"{uuid.UUID(entry["stream"].decode())}"'
        f',"stream_position":{int(entry["stream_position"])},"format":{int(entry["format"])},"event":'
    )
    return head.encode() + event.replace(b"\r", b" ").replace(b"\n", b" ") + b"}\n"


def check_proof(kit: Kit, position: int, entry: bytes, head: Head, note: bytes) -> None:
    """Raise `Bad` unless the proof leads from the leaf entry to the root hash of the signed tree head."""
    file = f"proofs/{position}.tlog-proof"
    proof, _, signed = kit.read(file).partition(b"\n\n")
    lines = proof.decode("ascii", "replace").split("\n")
    want = ["c2sp.org/tlog-proof@v1", f"extra {base64.b64encode(entry).decode()}", f"index {position}"]
    if lines[:3] != want:
        raise Bad(file, "not a proof of this leaf entry and position")
    if signed != note:
        raise Bad(file, "its tree head is not the checkpoint of the kit")
    node = hashlib.sha256(b"\0" + entry).digest()
    at, last = position, head.size - 1
    if at > last:
        raise Bad(file, "the tree does not have this position")
    for sibling in (from_base64(file, line, 32) for line in lines[3:]):  # RFC 9162, section 2.1.3.2
        if last == 0:
            raise Bad(file, "the proof is too long")
        if at & 1 or at == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    if last or node != head.root:
        raise Bad(file, "the proof does not lead to the root hash that was signed")


def check_manifest(kit: Kit, manifest: dict[str, Any], head: Head) -> None:
    """Raise `Bad` unless the manifest matches the kit: the report begins with it."""
    expected: dict[str, Any] = {"origin": head.origin, "size": str(head.size)}
    expected["root_hash"] = base64.b64encode(head.root).decode()
    expected["cosigned_by"] = kit.lines("keys/witnesses.vkey")
    if manifest["tree_head"] != expected:
        raise Bad("manifest.json", "its tree head differs from that of the kit")
    if manifest["events"] != str(sum(chunk.count(b"\n") for chunk in kit.chunks("events.ndjson"))):
        raise Bad("manifest.json", "its number of events differs from that of the kit")


def check_events(kit: Kit, manifest: dict[str, Any], head: Head, note: bytes) -> int:
    """The number of events. Raises `Bad` unless each of them verifies and no file is left over."""
    left = {name for name in kit.names if name.startswith(("bodies/", "entries/", "proofs/"))}
    page = report_module()
    count, before = 0, -1
    versions: dict[bytes, int] = {}
    with kit.open("events.ndjson") as lines, kit.open("report.html") as report:
        expect(report, page.report_head(manifest))
        for line in iter(
            lambda: lines.readline(LIMITS["bodies"]), b""
        ):  # a line that is cut there is not an event
            position = check_event(kit, line, head, note)
            if position <= before:
                raise Bad("events.ndjson", "its positions are not ascending")
            check_version(line, versions)
            expect(report, page.report_event(line))
            left -= {f"bodies/{position}", f"entries/{position}", f"proofs/{position}.tlog-proof"}
            count, before = count + 1, position
        expect(report, page.REPORT_END)
        if report.read(1):
            raise Bad("report.html", "there is data after its end")
    if left:
        raise Bad(min(left), "it belongs to no event of the kit")
    return count


def check_version(line: bytes, versions: "dict[bytes, int]") -> None:
    """Raise `Bad` when an event of an aggregate is missing: the kit has all of them, from the first to a last one."""
    found = OF_AGGREGATE.match(line)
    if found is not None:
        stream, version = found[1], int(found[2])
        if version != versions.get(stream, 0) + 1:
            raise Bad("events.ndjson", f"an event of {stream.decode()} before its event {version} is missing")
        versions[stream] = version


def report_module() -> Any:
    """Load report.py from the folder of this file, whichever kit is checked: no program of another kit is run."""
    sys.dont_write_bytecode = True  # bytecode would be an unexpected file in the kit
    spec = importlib.util.spec_from_file_location("report", Path(__file__).with_name("report.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expect(report: IO[bytes], text: str) -> None:
    """Raise `Bad` unless the report continues with `text`: it must show the verified data and nothing else."""
    data = text.encode()
    if report.read(len(data)) != data:
        raise Bad("report.html", "it differs from the events and the manifest")


def quoted(text: str) -> str:
    """A name from a kit, quoted unless it is unambiguous."""
    return text if re.fullmatch("[A-Za-z0-9_./+-]+", text) else json.dumps(text)


def say(text: str) -> None:
    """Print a line. Names from a kit can't send control characters to the terminal."""
    sys.stdout.write("".join(char if char.isprintable() else ascii(char)[1:-1] for char in text) + "\n")


def check(kit: Kit, given: argparse.Namespace) -> tuple[int, Head, bool]:
    """Run all checks. Returns the number of events, their tree, and whether there are cosignatures. Raises `Bad`."""
    manifest = check_files(kit)
    if given.manifest and kit.digest("manifest.json") != given.manifest.lower():
        raise Bad("manifest.json", "its SHA-256 is not the one that you gave")
    note = kit.read("checkpoint")
    keys = [parse_key(text) for text in given.vkey or kit.lines("keys/log.vkey")]
    witnesses = [parse_key(text) for text in dict.fromkeys(kit.lines("keys/witnesses.vkey") + given.witness)]
    head = check_head("checkpoint", note, keys, verifiable(witnesses, given.witness))
    check_manifest(kit, manifest, head)
    return check_events(kit, manifest, head, note), head, bool(witnesses)


def verifiable(witnesses: list[Key], given: list[str]) -> list[Key]:
    """The keys that this cryptography can verify. Raises `Bad` when one of the others was given as an argument."""
    if MLDSA44PublicKey is not None:
        return witnesses
    for key in witnesses:
        if key.algorithm == ML_DSA_44:
            if key in [parse_key(text) for text in given]:
                raise Bad("the key", f"{key.name} needs a newer release of cryptography, with ML-DSA-44")
            say(f"NOT CHECKED: the cosignature of {quoted(key.name)} needs a newer release of cryptography")
    return [key for key in witnesses if key.algorithm != ML_DSA_44]


def main() -> None:
    """Check the kit that the command line names."""
    parser = argparse.ArgumentParser(description="Check an evidence kit.")
    parser.add_argument("kit", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    add = parser.add_argument
    add("--vkey", action="append", default=[], help="a public key of the log, which you trust")
    add("--witness", action="append", default=[], help="a public key that has to have cosigned")
    add("--manifest", help="the SHA-256 of manifest.json that its maker gave you")
    given = parser.parse_args()
    try:
        count, head, cosigned = check(Kit(given.kit), given)
    except Bad as exc:
        say(f"BAD: {exc}")
        sys.exit(1)
    except UNREADABLE as exc:
        say(f"BAD: {given.kit}: it can't be read as a kit: {exc!r}")
        sys.exit(1)
    result = "OK" if given.vkey else "NOT PROVEN"
    say(
        f"{result}: {count} events are in the log {quoted(head.origin)},"
        f" in its tree of {head.size} events that was signed"
    )
    if cosigned and not given.witness:
        say("WARNING: the witnesses' keys are from the kit: give --witness.")
    if not given.vkey:
        say(
            "WARNING: checked with the keys from the kit. That proves nothing about who made it: give --vkey."
        )
        sys.exit(NOT_PROVEN)


if __name__ == "__main__":
    main()
