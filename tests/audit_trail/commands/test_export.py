"""`audit-trail export`: whole or not there, private, in constant memory, and able to go on after a kill."""

from __future__ import annotations

import hashlib
import inspect
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from audit_trail.commands.evidence import evidence
from audit_trail.commands.export import export
from audit_trail.export.file import export_to_file
from domain.errors import ConfigurationError
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.filters.conditions import INTERNAL, name_of
from queries.filters.event_filter import GROUPS, EventFilter
from tests.audit_trail.programs import PROGRAM, environment, run
from tests.trail import Trail, an_event

FORMATS = ("ndjson", "csv", "parquet")


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
    yield trail
    trail.close()


# How exports are put on record has tests of its own.
UNRECORDED = {"reads_unrecorded": "flag"}


def exported(trail: Trail, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run("export", *arguments, settings={"database_url": trail.url, **UNRECORDED})


def manifest_of(file: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = msgspec.json.decode(file.with_name(f"{file.name}.manifest.json").read_bytes())
    return manifest


def test_every_filter_of_the_api_is_an_option() -> None:
    internal = {field for condition in INTERNAL for field in condition.fields}
    wanted = {name_of(field) for field in set(EventFilter.__struct_fields__) - {*GROUPS, *internal}}
    for command in (export, evidence):
        assert wanted <= set(inspect.signature(command).parameters)


def test_a_file_has_a_manifest_that_proves_it(trail: Trail, tmp_path: Path) -> None:
    trail.given(
        an_event(patients=[{"id": "17"}]), an_event("user.logged_in"), an_event(patients=[{"id": "18"}])
    )
    for format in FORMATS:
        file = tmp_path / f"events.{format}"
        done = exported(
            trail, file, "--patient", "17", "--type", "record.read", "--occurred-from", "2026-01-01T00:00:00Z"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"exported 1 rows as of position 2 to {file}\n"
        manifest = manifest_of(file)
        [written] = manifest["files"]
        data = file.read_bytes()
        assert written == {
            "name": file.name,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        assert manifest["filter"] == {
            "patient": "17",
            "type": ["record.read"],
            "occurred_from": "2026-01-01T00:00:00+00:00",
        }
        assert (manifest["exported"], manifest["format"], manifest["rows"]) == ("events", format, 1)
        [(size, root)] = trail.rows("SELECT size, encode(root, 'hex') FROM audit_trail.log_state")
        assert manifest["snapshot"]["log_size"] == size
        assert manifest["snapshot"]["root_hash"] == root
        assert manifest["program"].startswith("audit-trail ")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted(
        [".json"] * 3 + [f".{f}" for f in FORMATS]
    )


def test_what_is_exported_is_its_owners_alone_and_replaces_nothing(trail: Trail, tmp_path: Path) -> None:
    trail.given(an_event())
    file = tmp_path / "events.csv"
    file.write_text("mine")
    refused = exported(trail, file)
    assert (refused.returncode, file.read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert exported(trail, file, "--force").returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "events.csv.manifest.json").stat().st_mode & 0o777 == 0o600
    again = exported(trail, file, "--resume")
    assert (again.returncode, again.stdout) == (0, f"{file} is finished already: 1 rows\n")
    assert exported(trail, file, "--resume", "--actor", "x").returncode == 2


def test_a_read_model_and_a_pipe(trail: Trail, tmp_path: Path) -> None:
    trail.given(an_event(patients=[{"id": "17"}]))
    file = tmp_path / "access.csv"
    assert exported(trail, file, "--table", "patient_access", "--where", "patient_id=17").returncode == 0
    assert manifest_of(file)["snapshot"]["projection"] == "patient"
    assert manifest_of(file)["filter"] == {"where": ["patient_id=17"]}
    piped = exported(trail, "-", "--format", "csv", "--table", "patient_access")
    assert piped.stdout.encode().replace(b"\r\n", b"\n") == file.read_bytes().replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("events.txt",), "--format"),
        (("folder", "--format", "csv", "--force"), "is not a file"),
        (("nowhere/events.csv",), "there is no folder"),
        (("events.csv", "--type", "record.raed"), "--type: not one of"),
        (("events.csv", "--resource-id", "1"), "--resource-type"),
        (
            ("events.csv", "--occurred-from", "2026-01-01T08:00"),
            "--occurred-from: give a date such as 2026-03-01, or a time with its offset",
        ),
        (("events.csv", "--occurred-until", "yesterday"), "--occurred-until: give a date"),
        (("events.csv", "--occurred-until", ""), "--occurred-until: give a date"),
        (("events.csv", "--table", "nothing"), "patient_access"),
        (("events.csv", "--table", "activity", "--where", "x"), "COLUMN=VALUE"),
        (("-", "--format", "csv", "--resume"), "name a file"),
    ],
)
def test_a_wrong_argument_is_named_and_leaves_no_file(
    trail: Trail, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    trail.project()
    (tmp_path / "folder").mkdir()
    name, *rest = arguments
    refused = exported(trail, name if name == "-" else tmp_path / name, *rest)
    assert refused.returncode == 2, refused.stderr
    assert says in refused.stderr
    assert not (tmp_path / "events.csv").exists()
    mended = exported(trail, tmp_path / "events.csv")
    assert mended.returncode == 0, mended.stderr


def filled(trail: Trail, events: int, size: int = 1000) -> None:
    for start in range(0, events, 2000):
        count = min(2000, events - start)
        trail.append(*(an_event(reason=os.urandom(size // 2).hex()) for _ in range(count)))
    trail.project()


def start(trail: Trail, *arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, "export", *map(str, arguments)],
        env=environment(database_url=trail.url, **UNRECORDED),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("format", FORMATS)
def test_what_was_killed_goes_on_to_the_same_end_without_repeating_or_losing_a_row(
    trail: Trail, tmp_path: Path, format: str
) -> None:
    filled(trail, 20_000)
    file = tmp_path / f"events.{format}"
    work = tmp_path / f"events.{format}.partial"
    kills = 0
    for pause in (0.0, 0.2, 0.5, 0.9):
        process = start(trail, file, "--resume")
        while not (work / "data").exists() and not (work / "part-000000.parquet").exists():
            if process.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(pause)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        assert file.exists() == (file.exists() and (tmp_path / f"events.{format}.manifest.json").exists())
    assert kills
    trail.given(an_event(), an_event())
    if not file.exists():
        refused = exported(trail, file)
        assert refused.returncode == 2
        assert "--resume" in refused.stderr
    done = exported(trail, file, "--resume")
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(file)
    assert (manifest["rows"], manifest["snapshot"]["as_of_position"]) == (20_000, 19_999)
    assert positions(file) == list(range(20_000))
    assert manifest["files"][0]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not work.exists()


def positions(file: Path) -> list[int]:
    if file.suffix == ".parquet":
        found: list[int] = pq.read_table(file, columns=["position"])["position"].to_pylist()
        return found
    lines = file.read_bytes().split(b"\n")[:-1]
    if file.suffix == ".csv":
        return [int(line.split(b",", 1)[0]) for line in lines[1:]]
    return [msgspec.json.decode(line)["position"] for line in lines]


def test_another_export_is_not_continued_and_two_do_not_write_one_file(trail: Trail, tmp_path: Path) -> None:
    filled(trail, 10_000)
    file = tmp_path / "events.csv"
    process = start(trail, file)
    while not (tmp_path / "events.csv.partial" / "data").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    second = exported(trail, file, "--resume")
    process.kill()
    process.wait()
    assert (second.returncode, "another export is writing" in second.stderr) == (2, True)
    other = exported(trail, file, "--resume", "--patient", "17")
    assert (other.returncode, "another export was cut off" in other.stderr) == (2, True)
    assert exported(trail, file, "--force", "--actor", "nobody").returncode == 0
    assert manifest_of(file)["rows"] == 0


def peak(trail: Trail, file: Path) -> int:
    """The most memory that an export held, in MB."""
    process = start(trail, file)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return int(usage.ru_maxrss) // 1024


@pytest.mark.thorough
@pytest.mark.parametrize("format", ["parquet", "ndjson", "csv"])
def test_memory_does_not_grow_with_the_log(trail: Trail, tmp_path: Path, format: str) -> None:
    filled(trail, 12_000, 4000)
    small = peak(trail, tmp_path / f"small.{format}")
    filled(trail, 24_000, 4000)
    large = peak(trail, tmp_path / f"large.{format}")
    # 24,000 events more are 100 MB more, and the same memory.
    assert large - small < 25, (small, large)


class StoppedError(Exception):
    """What ends an export in its middle."""


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_written_after_the_last_state_is_written_again(
    trail: Trail, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_trail.export.file.KEEP_SECONDS", 0)
    monkeypatch.setattr("queries.export.event_rows.BATCH_POSITIONS", 100)
    monkeypatch.setattr("queries.export.parquet.GROUP_ROWS", 300)
    filled(trail, 2000, 100)
    file = tmp_path / f"events.{format}"
    request = ExportRequest(format=Format(format))

    def stop(rows: int) -> None:
        if rows >= 1000:
            raise StoppedError

    exports = Exports(trail.reader)
    with pytest.raises(StoppedError):
        export_to_file(exports, request, file, progress=stop)
    work = tmp_path / f"events.{format}.partial"
    with (work / "data").open("ab") as data:
        data.write(b"half a line")
    outcome = export_to_file(exports, request, file, resume=True)
    assert (outcome.resumed, outcome.manifest.rows) == (900, 2000)
    assert positions(file) == list(range(2000))


def test_an_export_follows_no_link_and_removes_nothing_that_it_did_not_make(
    trail: Trail, tmp_path: Path
) -> None:
    """In a folder of many users, anybody can make what has the name of an export's file or folder."""
    trail.given(an_event())
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "state.json").write_text("mine")
    (victim / "data").write_text("mine")
    shared = tmp_path / "shared"
    shared.mkdir()
    file, partial = shared / "events.csv", shared / "events.csv.partial"
    exports, request = Exports(trail.reader), ExportRequest(format=Format.CSV)

    def refused(says: str, *, resume: bool = False, force: bool = False) -> None:
        before = sorted(path.name for path in shared.rglob("*"))
        with pytest.raises(ConfigurationError, match=says):
            export_to_file(exports, request, file, resume=resume, force=force)
        assert sorted(path.name for path in shared.rglob("*")) == before
        assert [path.read_text() for path in sorted(victim.iterdir())] == ["mine", "mine"]

    for planted in (victim, victim / "data", victim / "nowhere"):
        partial.symlink_to(planted)
        refused("cut off" if planted == victim else "it is a link")
        for resume, force in ((False, True), (True, False), (True, True)):
            refused("it is a link", resume=resume, force=force)
        partial.unlink()
    os.mkfifo(partial)
    refused("it is a pipe", force=True)
    partial.unlink()
    partial.mkdir()
    for name in ("data", "state.json", "lock", "manifest.json", "part-000000.parquet"):
        (partial / name).symlink_to(victim / "data")
        refused("it is a link", force=True)
        (partial / name).unlink()
    (partial / "lock").hardlink_to(victim / "data")
    refused("hard link", force=True)
    (partial / "lock").unlink()
    (partial / "thesis.txt").write_text("mine")
    refused("no export made", force=True)
    (partial / "thesis.txt").unlink()
    for name in ("events.csv", "events.csv.manifest.json"):
        for planted in (victim, victim / "data", victim / "nowhere"):
            (shared / name).symlink_to(planted)
            refused("it is a link", force=True)
            (shared / name).unlink()
    shared.chmod(0o777)
    refused("anyone may replace files")
    shared.chmod(0o1777)
    (partial / "data").hardlink_to(victim / "data")  # the second name goes, and the file stays
    export_to_file(exports, request, file, force=True)
    assert [path.read_text() for path in sorted(victim.iterdir())] == ["mine", "mine"]


def test_an_export_whose_folder_is_swapped_in_its_middle_changes_nothing_else(
    trail: Trail, tmp_path: Path
) -> None:
    trail.given(an_event())
    file, partial, victim = tmp_path / "events.csv", tmp_path / "events.csv.partial", tmp_path / "victim"
    victim.mkdir()
    (victim / "data").write_text("mine")

    def swap(_: int) -> None:
        partial.rename(tmp_path / "moved")
        partial.symlink_to(victim)

    with pytest.raises(OSError, match=r"events\.csv\.partial"):  # the link is no folder to remove
        export_to_file(Exports(trail.reader), ExportRequest(format=Format.CSV), file, progress=swap)
    assert (victim / "data").read_text() == "mine"
    assert list(victim.iterdir()) == [victim / "data"]
    assert manifest_of(file)["rows"] == 1
