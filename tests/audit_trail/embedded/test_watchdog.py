from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from audit_trail.embedded.process import WatchedProcess
from domain.errors import ConfigurationError

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_exit_code_is_that_of_the_command() -> None:
    assert WatchedProcess(python("raise SystemExit(7)")).start().wait(10) == 7


def test_a_command_that_a_signal_ended_exits_as_a_shell_would_say_it() -> None:
    process = WatchedProcess(["sleep", "600"]).start()
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL


def test_what_it_prints_is_appended_to_a_log_that_others_may_not_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        WatchedProcess(python(f"print({word!r})"), log=log).start().wait(10)
    assert log.read_text().split() == ["one", "two"]
    assert log.stat().st_mode & 0o077 == 0


def test_stop_sends_the_chosen_signal() -> None:
    with WatchedProcess(["sleep", "600"], stop_signal=signal.SIGINT) as process:
        assert process.stop() == 128 + signal.SIGINT
    assert not process.running


def test_a_command_that_ignores_the_signal_is_killed_after_the_grace_period(
    tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with WatchedProcess(python(STUBBORN), grace=0.2, log=tmp_path / "log") as process:
        eventually(lambda: "ready" in process.log_tail())
        assert process.stop() == 128 + signal.SIGKILL


def test_a_stopped_process_can_be_started_again() -> None:
    process = WatchedProcess(["sleep", "600"])
    pids = set()
    for _ in range(2):
        with process:
            pids.add(process.pid)
    assert len(pids) == 2


def test_a_command_that_does_not_exist_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-such-program"):
        WatchedProcess(["no-such-program"], log=tmp_path / "log").start()


def test_a_running_process_is_not_started_twice() -> None:
    with WatchedProcess(["sleep", "600"]) as process, pytest.raises(ConfigurationError, match="already runs"):
        process.start()


def test_a_command_is_out_of_reach_of_the_terminals_ctrl_c() -> None:
    """Ctrl-C goes to the foreground process group of the terminal's session."""
    with WatchedProcess(["sleep", "600"]) as process:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).parents()[:1]]
        assert all(os.getsid(each.pid) != os.getsid(0) for each in family)


def test_nothing_is_left_when_the_supervisor_is_killed(supervise: Callable[..., Any], tmp_path: Path) -> None:
    supervisor = supervise("sleep", tmp_path)
    assert {each.name() for each in supervisor.started} > {"sleep"}
    supervisor.kill()
    assert psutil.wait_procs(supervisor.started, timeout=10)[1] == []


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells a process that its parent died"
)
def test_a_guard_that_is_killed_takes_its_command_along() -> None:
    with WatchedProcess(["sleep", "600"]) as process:
        command = psutil.Process(process.pid)
        guard = command.parent()
        assert guard is not None
        guard.kill()
        assert psutil.wait_procs([command], timeout=10)[1] == []


def test_the_guard_can_be_run_by_hand_and_stops_at_sigterm(
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    module = [sys.executable, "-m", "audit_trail.embedded.watchdog", "--signal", "INT", "--", "sleep", "600"]
    with subprocess.Popen(module, stdin=subprocess.PIPE, cwd=Path(__file__).parents[3]) as guard:
        eventually(lambda: bool(psutil.Process(guard.pid).children()))
        guard.terminate()
        assert guard.wait(10) == 128 + signal.SIGINT


def test_the_guard_stops_at_the_end_of_its_input() -> None:
    module = [sys.executable, "-m", "audit_trail.embedded.watchdog", "--", "sleep", "600"]
    done = subprocess.run(module, input=b"", timeout=10, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 128 + signal.SIGTERM
