"""One verification: everything is read, recomputed and compared; nothing is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from domain.errors import ConfigurationError, LogInconsistentError, ProofError
from event_store.database import Database, only
from event_store.heads import stored_keys
from event_store.statement_errors import StatementError
from event_store.statements import load
from event_store.stored_tree import read_state
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import open_head
from event_store.verify.chunks import CHUNK, ChunkTask, Head, Result, check_chunk
from event_store.verify.findings import Finding, Resets, in_order, restarted
from event_store.verify.side_tables import check_offsets, check_side_tables, stream_resets
from event_store.verify.structure import check_structure
from event_store.verify.tree import Tree, edge_below
from event_store.verify.worker import APPLICATION, Start, Worker

_SQL = load(__package__, "chunks.sql")

Progress = Callable[[int, int], None]
"""Called with the number of positions read and their total."""


class ExternalHead(NamedTuple):
    """A signed head from outside the database: its note, and where it comes from."""

    note: bytes
    place: str


class Report(NamedTuple):
    """The result of a verification: findings in order of position, or none.

    The log had `size` events. Those from `since` on were read, `hashed` of them were hashed, and `heads` heads were
    compared, of which `external` came from outside the database. `root` is the root hash of the rows.
    """

    size: int
    since: int
    root: bytes
    heads: int
    hashed: int
    findings: tuple[Finding, ...]
    external: int = 0


class _State(NamedTuple):
    size: int
    root: bytes
    edge: bytes


def verify(
    url: str,
    role: str,
    keys: Sequence[VerifierKey],
    *,
    since: int = 0,
    external: Sequence[ExternalHead] = (),
    jobs: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Verify the log at `url` from position `since` (rounded down) to its end.

    `keys` are the trusted public keys of the log; by default, the keys in the database are used. Hashes before `since`
    come from the stored tiles, which the later signed heads confirm. Raises `UnavailableError` while the database is
    away, and `ConfigurationError` when an external head does not belong to this log or the database belongs to another
    release.
    """
    with closing(Database(url, role, size=3, application_name=APPLICATION)) as database:
        found = tuple(check_structure(database))
        try:
            report = _Verification(database, url, tuple(keys), external).run(since, jobs, progress)
        except LogInconsistentError as exc:  # too broken to go on
            report = Report(0, since, b"", 0, 0, (Finding(None, str(exc)),))
        except (AttributeError, TypeError, ValueError, StatementError) as exc:
            # These values have types that the table declarations exclude: the tables were changed, as the findings say.
            kind = exc.name if isinstance(exc, StatementError) else type(exc).__name__
            what = f"the log can't be read to its end ({kind}): its tables were changed"
            report = Report(0, since, b"", 0, 0, (Finding(None, what),))
        except ConfigurationError:
            if not found:  # the structure is intact: it is another release's database, or none
                raise
            report = Report(0, since, b"", 0, 0, ())
    return report._replace(findings=tuple(in_order((*report.findings, *found))))


class _Verification:
    def __init__(
        self, database: Database, url: str, keys: tuple[VerifierKey, ...], external: Sequence[ExternalHead]
    ) -> None:
        self._database = database
        self._url = url
        with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            self._keys = keys or tuple(stored_keys(connection))
            self._state = _State(*read_state(connection))
            cursor.execute(_SQL["smallest_head"])
            # A log that a release without signatures began has no head for its first batches.
            self._signed_from = only(cursor) or 0
        self._resets = stream_resets(database)
        self._external = [_opened(each, self._keys) for each in external]

    def run(self, since: int, jobs: int, progress: Progress) -> Report:
        size = self._state.size
        below = min(max(since, 0), size) // CHUNK
        first = below * CHUNK
        with ThreadPoolExecutor(1, "side-tables") as thread:
            side_tables = thread.submit(self._side_tables, first)
            try:
                tree, streams, counts = self._read(below, jobs, progress)
            except BaseException:
                side_tables.cancel()
                raise
            found = [*side_tables.result(), *self._sizes(size)]
        found += tree.findings()
        found += streams.findings(self._database)
        with self._database.transaction(read_only=True) as connection:
            found += tree.compare_tiles(connection)
        found += tree.compare_state(*self._state)
        return Report(size, first, tree.root, *counts, tuple(in_order(found)), len(self._external))

    def _tasks(self, first: int) -> Iterator[ChunkTask]:
        """The chunks, each with the external heads that end in it; a head of size 0 belongs to the first."""
        size = self._state.size
        for start in range(first, max(size, first + 1), CHUNK):
            until = min(start + CHUNK, size)
            external = (head for head in self._external if (start or -1) < head.size <= until)
            yield ChunkTask(start, until, tuple(external), self._resets, self._signed_from)

    def _read(self, below: int, jobs: int, progress: Progress) -> tuple[Tree, _Streams, tuple[int, int]]:
        first = below * CHUNK
        with self._database.transaction(read_only=True) as connection:
            tree = Tree(below, edge_below(connection, below))
        streams = _Streams(self._resets)
        heads = hashed = 0
        total = self._state.size - first
        progress(0, total)
        chunks = -(-total // CHUNK)
        with _workers(self._url, self._database, self._keys, min(jobs, chunks)) as submit:
            for result in _in_turn(submit, self._tasks(first), ahead=2 * jobs):
                tree.add(result)
                streams.add(result)
                heads += len(result.heads)
                hashed += result.hashed
                progress(result.until - first, total)
        return tree, streams, (heads, hashed)

    def _side_tables(self, first: int) -> list[Finding]:
        return check_side_tables(self._database, first)

    def _sizes(self, size: int) -> Iterator[Finding]:
        """Findings for external heads that are larger than the log."""
        for head in self._external:
            if head.size > size:
                yield Finding(
                    size,
                    f"the log ends here, but the signed head{head.source} proves {head.size} events:"
                    " its tail was cut off, or the database is an older copy",
                )


class _Streams:
    """Checks stream positions across chunks: they grow, except after a recorded loss of Kafka records."""

    def __init__(self, resets: Resets) -> None:
        self._resets = resets
        self._last: dict[bytes, tuple[int, int]] = {}
        self._found: list[Finding] = []

    def add(self, result: Result) -> None:
        for stream, (first, last, position) in result.streams.items():
            before = self._last.get(stream)
            has_restarted = before is not None and restarted(self._resets, stream, before[1], result.until)
            if before is not None and first <= before[0] and not has_restarted:
                self._found.append(
                    Finding(
                        result.first,
                        f"stream {stream.hex()} goes on at {first}, although it had reached {before[0]}",
                    )
                )
            self._last[stream] = (last, position)

    def findings(self, database: Database) -> list[Finding]:
        rows = ((stream, last, position) for stream, (last, position) in self._last.items())
        return self._found + check_offsets(database, rows, self._resets)


def _opened(external: ExternalHead, keys: Sequence[VerifierKey]) -> Head:
    try:
        head, _ = open_head(external.note, keys)
    except ProofError as exc:
        raise ConfigurationError(f"{external.place} is not a signed head of this log: {exc}") from exc
    return Head(head.size, head.root, external.note, f" in {external.place}")


Submit = Callable[[ChunkTask], "Future[Result]"]


@contextmanager
def _workers(url: str, database: Database, keys: tuple[VerifierKey, ...], jobs: int) -> Iterator[Submit]:
    """`jobs` worker processes, each with a thread that waits for it; for a single job that thread does the work."""
    with ThreadPoolExecutor(max(jobs, 1), "chunk") as threads:
        if jobs < 2:
            yield lambda task: threads.submit(check_chunk, database, task, keys)
            return
        workers = [Worker(Start(url, database.role, keys)) for _ in range(jobs)]
        idle = SimpleQueue[Worker]()
        for worker in workers:
            idle.put(worker)

        def check(task: ChunkTask) -> Result:
            worker = idle.get()
            try:
                return worker.check(task)
            finally:
                idle.put(worker)

        try:
            yield lambda task: threads.submit(check, task)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.close()


def _in_turn(submit: Submit, tasks: Iterable[ChunkTask], ahead: int) -> Iterator[Result]:
    """Results in the order of the tasks, with a bounded number of tasks in progress."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(submit(task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
