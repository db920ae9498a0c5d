"""Log lines: what libraries log never brings a traceback, whose locals and texts can hold patient data and secrets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from audit_trail.runtime.logs import configure
from audit_trail.settings import Settings

configure(Settings(log_format=sys.argv[1]))
secret = "patient 4711"
try:
    raise ValueError(secret)
except ValueError:
    logging.getLogger("kafka.net").exception("it failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_library_s_exception_is_its_type_alone(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True)
    assert "4711" not in done.stderr
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    assert "it failed" in line
    assert "ValueError" in line
    if form == "json":
        assert json.loads(line)["error"] == "ValueError"


ASYNCIO = """
import asyncio, gc, sys
from audit_trail.runtime.logs import configure
from audit_trail.settings import Settings

configure(Settings(log_format=sys.argv[1]))

async def fail():
    raise ValueError("patient 4711")

async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    gc.collect()

asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_task_that_nobody_awaits_is_logged_without_the_text_of_its_exception(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", ASYNCIO, form], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert "Task exception was never retrieved" in line
    assert "ValueError" in line
    assert "4711" not in line


REQUEST = """
import asyncio, logging, sys
import structlog
from audit_trail.runtime.logs import configure
from audit_trail.settings import Settings
from event_store.tracing import TraceContext, within
from queries.thread_pool import Threads
from web.http.correlation import Correlation

configure(Settings(log_format="json"))
threads = Threads(1)


class Span:
    context = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    def end(self, error=None):
        pass


async def app(scope, receive, send):
    structlog.get_logger("a").info("in the task")
    await threads.run(structlog.get_logger("b").warning, "in a thread")
    with within(Span()):
        logging.getLogger("library").warning("of a library")


async def request(given=b"", traceparent=b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"):
    scope = {"type": "http", "headers": [(b"x-request-id", given), (b"traceparent", traceparent)]}
    await Correlation(app)(scope, None, None)
    return scope["state"]["correlation_id"]


async def main():
    ids = [await request(b"r-17"), await request(b"no id"), await request(traceparent=b"none")]
    structlog.get_logger("c").info("of no request", ids=ids)


asyncio.run(main())
threads.close()
"""


def test_every_line_of_a_request_has_its_correlation_id_and_its_span() -> None:
    done = subprocess.run([sys.executable, "-c", REQUEST], capture_output=True, text=True, check=True)
    *lines, last = map(json.loads, done.stderr.splitlines())
    assert "correlation_id" not in last
    assert last["ids"][:2] == ["r-17", "1" * 32]
    said = [
        (line["event"], line["correlation_id"], line.get("trace_id"), line.get("span_id")) for line in lines
    ]
    span = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert said == [
        (event, id, *(span if event == "of a library" else (None, None)))
        for id in last["ids"]
        for event in ("in the task", "in a thread", "of a library")
    ]
    assert len(set(last["ids"])) == 3
