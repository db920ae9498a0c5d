"""The folder of jobs and their threads, without a server: kills, full disks, links, and the end of the time."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.errors import ConfigurationError, ConflictError
from event_store.database import READER, Database
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest
from queries.export_jobs.job import Job, JobFormat, JobState, Owner, new_id
from queries.export_jobs.job_folder import INTERRUPTED, MOST_KEPT, JobFolder
from queries.export_jobs.making import Kits
from queries.export_jobs.runner import ExportJobs
from queries.export_jobs.temporary import temporary_folder

OWNER = Owner("https://issuer.example", "ada")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEEP = timedelta(hours=24)


def new(owner: Owner = OWNER, **fields: Any) -> Job:
    given: dict[str, Any] = {"format": JobFormat.NDJSON, "created_at": NOW} | fields
    return Job(id=new_id(owner), owner=owner, pairs=(), query={}, grants=(), **given)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    with JobFolder.opened(tmp_path / "exports", keep=KEEP, most_bytes=1 << 30) as folder:
        yield folder


@contextmanager
def running(url: str, folder: JobFolder) -> Iterator[ExportJobs]:
    with closing(Database(url, READER, size=2)) as database:
        jobs = ExportJobs(Exports(database), folder, Kits(database))
        try:
            yield jobs
        finally:
            jobs.close()


def ended(folder: JobFolder, job: Job) -> Job:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        found = folder.job(job.id, job.owner)
        assert found is not None
        if not found.is_open:
            return found
        time.sleep(0.02)
    pytest.fail("the job did not end")


def names(path: Path) -> set[str]:
    return {each.name for each in path.iterdir()}


def test_files_and_folders_are_for_their_owner_alone(
    hospital_url: str, folder: JobFolder, tmp_path: Path
) -> None:
    job = new()
    with running(hospital_url, folder) as jobs:
        jobs.submit(job, ExportRequest(format=job.format.rows))
        done = ended(folder, job)
    assert (done.state, done.rows, done.as_of_position) == (JobState.DONE, 10, 9)
    inside = tmp_path / "exports" / job.id
    assert names(inside) == {"data", "lock", "state.json"}
    assert {oct(each.stat().st_mode & 0o777) for each in (tmp_path / "exports", inside)} == {"0o700"}
    assert {oct(each.stat().st_mode & 0o777) for each in inside.iterdir()} == {"0o600"}


def test_a_job_whose_process_is_killed_was_interrupted(tmp_path: Path, folder: JobFolder) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(tmp_path / "exports")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child:
        id = child.stdout.readline().strip()
        held = folder.job(id, OWNER)
        assert held is not None
        assert held.state is JobState.RUNNING
        child.send_signal(signal.SIGKILL)
    found = folder.job(id, OWNER)
    assert found is not None
    assert (found.state, found.reason) == (JobState.FAILED, INTERRUPTED)
    assert names(tmp_path / "exports" / id) == {"lock", "state.json"}


_HOLDS = """
import sys, time
from datetime import timedelta
from pathlib import Path
from queries.export_jobs.job import JobState
from queries.export_jobs.job_folder import JobFolder
from tests.queries.export_jobs.test_jobs import KEEP, new
with JobFolder.opened(Path(sys.argv[1]), keep=KEEP, most_bytes=1 << 30) as folder:
    held = folder.create(new())
    held.save(state=JobState.RUNNING)
    with held.writing() as file:
        file.write(b"personal data")
        file.flush()
        print(held.job.id, flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("format", [JobFormat.NDJSON, JobFormat.PARQUET, JobFormat.EVIDENCE])
def test_a_disk_that_takes_no_more_fails_the_job_and_keeps_nothing(
    hospital_url: str, folder: JobFolder, tmp_path: Path, format: JobFormat
) -> None:
    job, after = new(format=format), new(format=format)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running(hospital_url, folder) as jobs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
        try:
            jobs.submit(job, ExportRequest(format=format.rows))
            found = ended(folder, job)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (found.state, found.reason.partition(":")[0]) == (
            JobState.FAILED,
            "the disk for exports is full",
        )
        assert names(tmp_path / "exports" / job.id) == {"lock", "state.json"}
        jobs.submit(after, ExportRequest(format=format.rows))
        assert ended(folder, after).state is JobState.DONE


def test_a_process_that_ends_says_so_of_its_jobs(hospital_url: str, folder: JobFolder) -> None:
    job, waiting = new(), [new() for _ in range(3)]
    with running(hospital_url, folder) as jobs:
        jobs.submit(job, ExportRequest(format=job.format.rows))
        for each in waiting:
            jobs.submit(each, ExportRequest(format=each.format.rows))
    for each in (job, *waiting):
        found = folder.job(each.id, OWNER)
        assert found is not None
        assert not found.is_open
        assert found.state is JobState.DONE or found.reason == INTERRUPTED
    late = new()
    jobs.submit(late, ExportRequest(format=late.format.rows))
    found = folder.job(late.id, OWNER)
    assert found is not None
    assert found.reason == INTERRUPTED


def test_a_file_expires_and_its_job_is_forgotten_later(folder: JobFolder, tmp_path: Path) -> None:
    job = finished(folder)
    said: list[Job] = []
    folder.sweep(NOW + KEEP - timedelta(seconds=1), said.append)
    assert not said
    folder.sweep(NOW + KEEP, said.append)
    assert [each.id for each in said] == [job.id]
    found = folder.job(job.id, OWNER)
    assert found is not None
    assert (found.state, found.sha256) == (JobState.EXPIRED, "00")
    assert names(tmp_path / "exports" / job.id) == {"lock", "state.json"}
    folder.sweep(NOW + 2 * KEEP, said.append)
    assert folder.job(job.id, OWNER) is None
    assert names(tmp_path / "exports") == {"lock"}
    assert len(said) == 1


def test_a_file_whose_deletion_can_not_be_recorded_stays(folder: JobFolder, tmp_path: Path) -> None:
    job = finished(folder)

    def away(_: Job) -> None:
        raise ConfigurationError("no Kafka")

    with pytest.raises(ConfigurationError):
        folder.sweep(NOW + KEEP, away)
    assert (tmp_path / "exports" / job.id / "data").exists()


def test_a_sweep_removes_what_a_kill_left(folder: JobFolder, tmp_path: Path) -> None:
    for name in (".new-1", ".gone-2"):
        (tmp_path / "exports" / name).mkdir(mode=0o700)
        (tmp_path / "exports" / name / "data").write_bytes(b"personal data")
    folder.sweep(NOW, lambda _: None)
    assert names(tmp_path / "exports") == {"lock"}


def test_a_link_in_the_place_of_a_file_or_a_job_is_not_followed(folder: JobFolder, tmp_path: Path) -> None:
    job = finished(folder)
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    data = tmp_path / "exports" / job.id / "data"
    data.unlink()
    data.symlink_to(secret)
    with pytest.raises(ConfigurationError):
        folder.open_data(job)
    other = new_id(OWNER)
    (tmp_path / "exports" / other).symlink_to(tmp_path / "exports" / job.id)
    with pytest.raises(ConfigurationError):
        folder.job(other, OWNER)


def test_a_list_has_a_bound(folder: JobFolder) -> None:
    for _ in range(MOST_KEPT):
        finished(folder)
    with pytest.raises(ConflictError, match="delete one first"):
        folder.create(new())
    other = new(Owner(None, "ada"))
    folder.create(other).release()
    assert len(folder.jobs(OWNER)) == MOST_KEPT
    assert [each.id for each in folder.jobs(other.owner)] == [other.id]


def test_a_state_of_another_owner_is_not_shown(folder: JobFolder, tmp_path: Path) -> None:
    job = finished(folder)
    state = tmp_path / "exports" / job.id / "state.json"
    foreign = msgspec.json.decode(state.read_bytes()) | {"owner": {"issuer": None, "id": "eve"}}
    state.write_bytes(msgspec.json.encode(foreign))
    assert folder.job(job.id, OWNER) is None
    assert folder.jobs(OWNER) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text("a file"), "is not a folder"),
        (lambda path: (path.mkdir(), path.chmod(0o777)), "anyone may replace files"),
    ],
)
def test_a_folder_that_can_not_be_used_is_a_wrong_setting(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(tmp_path / "exports")
    with (
        pytest.raises(ConfigurationError, match=said),
        JobFolder.opened(tmp_path / "exports", keep=KEEP, most_bytes=1),
    ):
        pass


def test_a_temporary_folder_goes_with_its_process_and_that_of_a_killed_one_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_folder(keep=KEEP, most_bytes=1 << 20) as one:
        assert one.temporary
        finished(one)
        [path] = tmp_path.iterdir()
        assert oct(path.stat().st_mode & 0o777) == "0o700"
        with temporary_folder(keep=KEEP, most_bytes=1 << 20):
            assert len(names(tmp_path)) == 2
        left = tmp_path / "audit-trail-exports-left"
        left.mkdir(mode=0o700)
        (left / "process").touch(0o600)
        with temporary_folder(keep=KEEP, most_bytes=1 << 20):
            assert left.name not in names(tmp_path)
        assert names(tmp_path) == {path.name}
    assert not names(tmp_path)


def finished(folder: JobFolder) -> Job:
    held = folder.create(new())
    with held.writing() as file:
        file.write(b"a row")
    held.publish("data.partial", NOW, rows=1, bytes=5, sha256="00", as_of_position=1)
    held.release()
    return held.job
