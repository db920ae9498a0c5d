"""What one durable call of the publishing client costs a service, beside a line that `logging` writes into a file.

`python -m benchmarks publisher [--calls 20000] [--runs 3] [--folder FOLDER]`. The spool and the log file are in FOLDER,
on a disk. The events go to a server in another process, so that the relay works meanwhile as it does in a service.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles

from audit_trail_publisher import Publisher
from benchmarks.report import Result, as_text, machine, write_json

_THREADS = 8
_TEXT = (
    "dr-smith updated Observation/o-1 of patient 17: status draft -> final, value 5.1 -> 5.3 [10.0.0.7 s-81]"
)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks publisher", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in turns; the median counts")
    parser.add_argument(
        "--folder", type=Path, default=Path.cwd(), help="where the spool and the log file are made"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    given = parser.parse_args(arguments)
    facts = machine("none") | {"calls": f"{given.calls:,} of each"}
    with _server() as url, tempfile.TemporaryDirectory(dir=given.folder) as name:
        results = _measure(Path(name), url, given.calls, given.runs)
    print(as_text(facts, results), flush=True)
    if given.json:
        write_json(given.json, facts, results)


def _measure(folder: Path, url: str, calls: int, runs: int) -> list[Result]:
    ways: dict[str, Callable[[Path, str, int], list[float]]] = {
        "durable": _durable,
        "buffered": lambda folder, _, calls: _logged(folder, calls, sync=False),
        "synced": lambda folder, _, calls: _logged(folder, calls, sync=True),
        "threads": _durable_in_threads,
        "synced threads": _logged_in_threads,
    }
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for run in range(runs):
        for name, way in ways.items():
            place = folder / f"{run}-{name.replace(' ', '-')}"
            place.mkdir()
            times[name].append(way(place, url, calls))
    return (
        [
            _result(
                "one durable call",
                times["durable"],
                "a FileHandler line, then os.fsync",
                times["synced"],
                at,
                goal,
            )
            for at, goal in ((50, 2.0), (99, 3.0))
        ]
        + [
            _result(
                "one durable call",
                times["durable"],
                "a FileHandler line, no fsync",
                times["buffered"],
                at,
                100.0,
            )
            for at in (50, 99)
        ]
        + [
            _result(
                f"a durable call in each of {_THREADS} threads",
                times["threads"],
                "a FileHandler line, then os.fsync, in as many",
                times["synced threads"],
                at,
                1.0,
            )
            for at in (50, 99)
        ]
    )


def _result(
    ours: str,
    ours_times: list[list[float]],
    theirs: str,
    theirs_times: list[list[float]],
    at: int,
    goal: float,
) -> Result:
    return Result(
        name=f"{ours}, p{at}",
        ours=f"{ours}, p{at}",
        theirs=f"{theirs}, p{at}",
        ours_runs=tuple(_percentile(run, at) for run in ours_times),
        theirs_runs=tuple(_percentile(run, at) for run in theirs_times),
        goal=goal,
        unit="us",
        at_most=True,
    )


def _percentile(times: list[float], at: int) -> float:
    return quantiles(times, n=100)[at - 1] * 1e6


def _timed(work: Callable[[], object], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def _in_threads(work: Callable[[], object], calls: int) -> list[float]:
    times: list[float] = []
    threads = [
        threading.Thread(target=lambda: times.extend(_timed(work, calls // _THREADS)))
        for _ in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


@contextmanager
def _recording(folder: Path, url: str) -> Iterator[Callable[[], object]]:
    """What records one event, with a context and two changed fields."""
    trail = Publisher("benchmark", url=url, spool=folder / "spool")
    with trail:

        def record() -> object:
            with trail.actor("dr-smith", name="Dr Smith"):
                return trail.record.updated(
                    patient="17",
                    resource=("Observation", "o-1"),
                    before={"status": "draft", "value": 5.1, "unit": "mmol/l"},
                    after={"status": "final", "value": 5.3, "unit": "mmol/l"},
                    session="s-81",
                )

        yield record


def _durable(folder: Path, url: str, calls: int) -> list[float]:
    with _recording(folder, url) as record:
        return _timed(record, calls)


def _durable_in_threads(folder: Path, url: str, calls: int) -> list[float]:
    with _recording(folder, url) as record:
        return _in_threads(record, calls)


class _Synced(logging.FileHandler):
    """A line is on the disk when the call returns."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if self.stream is not None:
            os.fsync(self.stream.fileno())


@contextmanager
def _logging(folder: Path, *, sync: bool) -> Iterator[Callable[[], object]]:
    with closing((_Synced if sync else logging.FileHandler)(folder / "audit.log")) as handler:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger = logging.getLogger(f"benchmark.{folder.name}")
        logger.propagate = False
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        yield lambda: logger.info(_TEXT)


def _logged(folder: Path, calls: int, *, sync: bool) -> list[float]:
    with _logging(folder, sync=sync) as log:
        return _timed(log, calls)


def _logged_in_threads(folder: Path, _: str, calls: int) -> list[float]:
    with _logging(folder, sync=True) as log:
        return _in_threads(log, calls)


@contextmanager
def _server() -> Iterator[str]:
    """The address of a server in another process that accepts every event."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.kill()
        process.join()


class _Accepting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        items = [{"index": at, "event_id": event["event_id"]} for at, event in enumerate(events)]
        answer = json.dumps({"accepted": len(items), "rejected": 0, "events": items}).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *_: object) -> None:
        pass


def _serve(port: Connection) -> None:
    with HTTPServer(("127.0.0.1", 0), _Accepting) as server:
        port.send(server.server_port)
        server.serve_forever()
