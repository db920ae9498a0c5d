"""The witness as the program that a second party runs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from audit_trail.embedded.broker import LOOPBACK, free_ports
from event_store.signing import create_key_file
from event_store.tlog.notes import VerifierKey
from tests.audit_trail import programs
from tests.audit_trail.programs import environment, eventually
from tests.event_store.witness.honest_and_lying_log import (
    LOG_KEY,
    ORIGIN,
    OTHER_LOG_KEY,
    WITNESS_KEY,
    note,
    request,
)

PROGRAM = [*programs.PROGRAM, "witness"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_key_file(tmp_path / "witness.key", WITNESS_KEY.encode() + "\n")
    (tmp_path / "logs").write_text(f"# whom we watch\n{LOG_KEY.verifier.encode()}\n")
    return tmp_path


@contextmanager
def running(
    folder: Path, *options: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    """The program until the end, and a client at the address that it says."""
    command = [
        *PROGRAM,
        "--data",
        "witness.db",
        "--key",
        "witness.key",
        "--log",
        "@logs",
        "--port",
        "0",
        *options,
    ]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(**settings) | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            key, _, address = process.stdout.readline().partition(" cosigns at ")
            assert VerifierKey.parse(key) == WITNESS_KEY.verifier
            with httpx2.Client(base_url=address.strip(), timeout=10) as client:
                yield process, client
        finally:
            process.kill()


@pytest.mark.thorough
def test_what_was_answered_outlives_a_kill(folder: Path) -> None:
    for old, new in ((0, 5), (5, 9), (9, 130)):
        with running(folder) as (_, client):
            assert client.post("/add-checkpoint", content=request(old, new)).status_code == 200
    with running(folder) as (_, client):
        assert client.post("/add-checkpoint", content=request(0, 5)).content == b"130\n"


def test_two_processes_on_one_file_are_one_witness(folder: Path) -> None:
    with running(folder) as (_, one), running(folder) as (_, two):
        assert one.post("/add-checkpoint", content=request(0, 5)).status_code == 200
        assert two.post("/add-checkpoint", content=request(0, 9)).content == b"5\n"
        assert two.post("/add-checkpoint", content=request(5, 9)).status_code == 200


def test_logs_may_be_given_one_by_one_and_in_a_file(folder: Path) -> None:
    with running(folder, "--log", OTHER_LOG_KEY.verifier.encode()) as (_, client):
        other = request(0, 5, note(5, [OTHER_LOG_KEY], origin=OTHER_LOG_KEY.name))
        assert client.post("/add-checkpoint", content=other).status_code == 200
        assert client.post("/add-checkpoint", content=request(0, 5)).status_code == 200


def test_sigterm_ends_it_well(folder: Path) -> None:
    with running(folder) as (process, client):
        assert client.get("/healthz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_key_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "witness.key").chmod(0o644)
    ended = subprocess.run(
        [*PROGRAM, "--data", "witness.db", "--key", "witness.key", "--log", "@logs"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert "chmod 600" in ended.stderr
    assert WITNESS_KEY.encode() not in ended.stderr


def test_it_is_ready_while_its_file_can_be_written_and_counts_what_it_answers(
    folder: Path,
) -> None:
    (port,) = free_ports(1)
    settings = {"metrics_port": str(port)}

    def asked() -> tuple[int, str]:
        health = programs.run("health", "witness", settings=settings)
        return health.returncode, health.stdout + health.stderr

    with (
        running(folder, **settings) as (_, client),
        httpx2.Client(base_url=f"http://{LOOPBACK}:{port}") as monitor,
    ):
        assert eventually(lambda: monitor.get("/readyz").status_code == 200, 20), monitor.get("/readyz").text
        assert monitor.get("/livez").status_code == 200
        assert asked() == (0, "ok\n")
        assert client.post("/add-checkpoint", content=request(0, 5)).status_code == 200
        assert client.post("/add-checkpoint", content=request(0, 9)).status_code == 409
        metrics = monitor.get("/metrics").text
        assert f'audit_trail_witness_cosigned_size{{origin="{ORIGIN}"}} 5.0' in metrics
        for result, count in (("cosigned", 1), ("conflict", 1), ("inconsistent", 0)):
            assert f'audit_trail_witness_answers_total{{result="{result}"}} {count}.0' in metrics
        for file in folder.glob("witness.db*"):
            file.unlink()
        assert eventually(lambda: monitor.get("/readyz").status_code == 503)
        assert "no such table" in monitor.get("/readyz").json()["problems"][0]
        code, said = asked()
        assert (code, "witness is not ready: the witness's file can't be used now" in said) == (75, True), (
            said
        )
        assert monitor.get("/livez").status_code == 200


def test_its_health_without_a_metrics_port_is_refused() -> None:
    health = programs.run("health", "witness")
    assert health.returncode == 2
    assert "AUDIT_TRAIL_METRICS_PORT" in health.stderr
