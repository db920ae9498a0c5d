"""Carries out rebuilds, in a child process of `project`: the live projections go on meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import closing, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from msgspec import Struct

from audit_trail.databases import Pool, open_database, worker_database
from audit_trail.ingest_settings import ingest_settings
from audit_trail.requests.worker import POLL_SECONDS, Attempt
from audit_trail.runtime import logs
from audit_trail.settings import Settings
from detection.live.installed import installed
from domain.errors import AuditTrailError, ConfigurationError, FencedError, UnavailableError
from domain.event import Actor
from ingest.publisher import Message, Publisher
from projections.rebuild.coordinator import rebuild
from projections.rebuild.parent_process import end_with_parent
from projections.rebuild.plan import Parts, RebuildResult

_GRACE_SECONDS = 5.0
_LOCKED_SECONDS = 60.0
"""How long another rebuild of the same projection is waited for. After a kill its lock lasts for a moment."""
_SAY_SECONDS = 1.0


class _Said(Struct, frozen=True):
    """What the child says: its progress, or its end. `temporary`: another attempt may succeed."""

    text: str
    ended: bool = False
    failed: bool = False
    temporary: bool = False


class RebuildRequests:
    """Rebuilds one projection at a time, as `audit-trail projections rebuild` does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, attempt: Attempt) -> str:
        """The result in words."""
        request = attempt.request
        # Spawned and not forked: a copy of this process's connections would write into them.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(
            target=_rebuild,
            args=(theirs, os.getpid(), self._settings, request.target, request.requester, request.reason),
            name="requested rebuild",
        )
        child.start()
        theirs.close()
        try:
            return _follow(ours, child, attempt)
        finally:
            ours.close()
            child.terminate()
            child.join(_GRACE_SECONDS)
            if child.is_alive():
                child.kill()
                child.join()
            child.close()


def _follow(pipe: Connection, child: SpawnProcess, attempt: Attempt) -> str:
    checked = told = 0.0
    text = ""
    while True:
        said: _Said | None = None
        try:
            if pipe.poll(_SAY_SECONDS):
                said = pipe.recv()
        except (EOFError, ConnectionResetError) as exc:
            child.join(_GRACE_SECONDS)
            raise UnavailableError(
                f"the process that rebuilt has ended, with exit code {child.exitcode}"
            ) from exc
        if said is not None and said.ended:
            return _end(said)
        now = time.monotonic()
        if now - checked >= POLL_SECONDS:
            attempt.check()
            checked = now
        text = text if said is None else said.text
        if text and now - told >= _SAY_SECONDS:
            attempt.say(text)
            text, told = "", now


def _end(said: _Said) -> str:
    if not said.failed:
        return said.text
    raise UnavailableError(said.text) if said.temporary else ConfigurationError(said.text)


class _Progress:
    """`projections.rebuild.plan.Progress`, through the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._step, self._unit = "", ""
        self._total = self._done = 0
        self._told = 0.0

    def begin(self, step: str, total: int, unit: str) -> None:
        self._step, self._total, self._unit, self._done = step, total, unit, 0
        self._told = 0.0
        self.advance(0)

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told >= _SAY_SECONDS / 2 or self._done >= self._total:
            self._told = now
            self.say(f"{self._step}: {self._done:,} of {self._total:,} {self._unit}")

    def say(self, message: str) -> None:
        self._pipe.send(_Said(message))


def _rebuild(pipe: Connection, parent: int, settings: Settings, name: str, by: Actor, reason: str) -> None:
    """The child process."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logs.configure(settings)
    with closing(pipe), suppress(BrokenPipeError):
        try:
            pipe.send(_Said(_run(pipe, settings, name, by, reason), ended=True))
        except (UnavailableError, FencedError) as exc:
            pipe.send(_Said(str(exc), ended=True, failed=True, temporary=True))
        except AuditTrailError as exc:
            pipe.send(_Said(str(exc), ended=True, failed=True))


def _run(pipe: Connection, settings: Settings, name: str, by: Actor, reason: str) -> str:
    """Rebuild. Raises `ConfigurationError` for a failure that an operator must mend."""
    topic = settings.kafka_topics[0]
    with (
        closing(open_database(settings, Pool.REBUILD)) as database,
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        parts = Parts(
            database=database,
            open_database=partial(worker_database, settings),
            source=installed,
            publish=lambda event: publisher.publish([Message(topic, None, event)]),
            progress=_Progress(pipe),
            jobs=max(1, (os.cpu_count() or 1) // 2),
            by=by,
            reason=reason,
        )
        outcome = _unlocked(parts, name, pipe)
    if outcome.failure:
        raise ConfigurationError(
            f"build {outcome.build} {outcome.failure}: mend the projector, then rebuild again"
        )
    return f"build {outcome.build} is live at position {outcome.position}"


def _unlocked(parts: Parts, name: str, pipe: Connection) -> RebuildResult:
    """Rebuild once nobody else works on the projection. Raises `ConfigurationError` when somebody does for long."""
    until = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            [outcome] = rebuild(parts, [name])
        except FencedError as exc:
            if time.monotonic() > until:
                raise ConfigurationError(str(exc)) from exc
            pipe.send(_Said(f"waits: {exc}"))
            time.sleep(POLL_SECONDS)
        else:
            return outcome
