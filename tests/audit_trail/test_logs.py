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
