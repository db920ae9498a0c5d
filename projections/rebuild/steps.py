"""One attempt at a rebuild: load, merge and index, catch up, attest, switch. No step repeats finished work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain.errors import AuditTrailError
from event_store.statements import load
from event_store.stored_tree import StoredTree
from event_store.tlog.proofs import root_at
from projections.builds.advisory_lock import AdvisoryLock
from projections.builds.digests import TableDigest
from projections.builds.switching import build_of, catch_up, open_track, switch_over
from projections.builds.trail_events import rebuilt_event
from projections.projector import Projector
from projections.projector_state import Track
from projections.rebuild.finish import digest_builds, finish_builds
from projections.rebuild.load import begin_build, load_builds
from projections.rebuild.plan import Parts, RebuildResult
from projections.registry import INDEXING, LOADING, Build

_SQL = load(__package__, "rebuild.sql")


class Unpublished(Exception):  # noqa: N818 - carries the error past the retries
    """The `projection.rebuilt` event could not be published."""

    def __init__(self, error: AuditTrailError) -> None:
        super().__init__(str(error))
        self.error = error


class Attempt:
    """Does what is left of a rebuild, up to the switch."""

    def __init__(self, parts: Parts, projectors: Sequence[Projector], lock: AdvisoryLock) -> None:
        self._parts = parts
        self._database = parts.database
        self._projectors = {each.name: each for each in projectors}
        self._lock = lock

    def run(self) -> list[RebuildResult]:
        """Run the remaining steps. Returns the outcome of each projection."""
        builds = {name: begin_build(self._database, each) for name, each in self._projectors.items()}
        loading = {name: build for name, build in builds.items() if build.state == LOADING}
        failures = load_builds(self._parts, list(self._projectors.values()), loading, self._lock.check)
        unfinished = {
            name: build
            for name, build in builds.items()
            if build.state in {LOADING, INDEXING} and name not in failures
        }
        outcomes = [
            RebuildResult(name, builds[name].build, -1, failure, skippable=True)
            for name, failure in sorted(failures.items())
        ]
        broken = finish_builds(self._parts, self._projectors, unfinished, self._lock.check)
        for name, failure in sorted(broken.items()):
            self._run("fail_finish", builds[name], failure=failure)
            outcomes.append(RebuildResult(name, builds[name].build, -1, failure))
        failures |= broken
        ready = {name: builds[name].build for name in builds if name not in failures}
        tracks = [
            open_track(self._database, self._projectors[name], number) for name, number in ready.items()
        ]
        try:
            return outcomes + self._serve(tracks, ready)
        finally:
            for track in tracks:
                track.close()

    def _serve(self, tracks: Sequence[Track], numbers: Mapping[str, int]) -> list[RebuildResult]:
        """From finished tables to live ones."""
        if tracks:
            lag = sum(build_of(self._database, name, number).lag for name, number in numbers.items())
            self._parts.progress.begin("catching up", lag, "events")
            catch_up(self._database, tracks, self._parts.progress.advance, self._lock.check)
        going = [track.projector for track in tracks if not track.stopped()]
        self._attest({each.name: build_of(self._database, each.name, numbers[each.name]) for each in going})
        return [self._switch(track, numbers[track.projector.name]) for track in tracks]

    def _switch(self, track: Track, number: int) -> RebuildResult:
        name = track.projector.name
        self._lock.check()
        if track.stopped() or not switch_over(self._database, track, number):
            position, failure = track.failure or (track.position, "stopped")
            return RebuildResult(
                name, number, track.position, f"stopped at position {position}: {failure}", skippable=True
            )
        return RebuildResult(name, number, track.position)

    def _attest(self, builds: Mapping[str, Build]) -> None:
        """Publish the attestations. The event is stored first, so every resend is identical."""
        left = {name: build for name, build in builds.items() if build.attested_at is None}
        kept = {name: self._kept_attestation(build) for name, build in left.items()}
        made = {name: build for name, build in left.items() if kept[name] is None}
        digests = digest_builds(self._parts, self._projectors, made, self._lock.check)
        for name, build in left.items():
            event = kept[name] or self._keep_attestation(build, digests[name])
            try:
                self._parts.publish(event)
            except AuditTrailError as exc:
                raise Unpublished(exc) from exc
            self._run("attested", build)

    def _keep_attestation(self, build: Build, tables: Mapping[str, TableDigest]) -> bytes:
        with self._database.transaction(read_only=True) as connection:
            root = root_at(build.position + 1, StoredTree(connection).nodes)
        made = rebuilt_event(
            build,
            build.position,
            root,
            tables,
            datetime.now(UTC),
            by=self._parts.by,
            reason=self._parts.reason,
        )
        self._run("keep_attestation", build, attestation=made)
        return self._kept_attestation(build) or made

    def _kept_attestation(self, build: Build) -> bytes | None:
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["find_attestation"], {"name": build.name, "build": build.build})
            row = cursor.fetchone()
        return bytes(row[0]) if row and row[0] is not None else None

    def _run(self, statement: str, build: Build, **parameters: object) -> None:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"name": build.name, "build": build.build} | parameters)
