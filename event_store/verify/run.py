"""One verification: everything read, recomputed and compared; nothing written."""

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
from event_store.verify.chunks import CHUNK, Head, Result, Task, check_chunk
from event_store.verify.findings import Finding, Resets, began_anew, in_order
from event_store.verify.side_tables import check_offsets, check_side_tables, stream_resets
from event_store.verify.structure import check_structure
from event_store.verify.tree import Tree, edge_below
from event_store.verify.worker import APPLICATION, Start, Worker

_SQL = load(__package__, "chunks.sql")

Progress = Callable[[int, int], None]
"""Called with how many positions were read and how many there are."""


class KeptHead(NamedTuple):
    """A signed head that was kept outside the database: the bytes of its note, and where they come from."""

    note: bytes
    place: str


class Report(NamedTuple):
    """What verification found: nothing, or findings in order of position.

    The log had `size` events; those from `since` on were read, `hashed` of them, and `heads` heads compared, of which
    `kept` were kept outside the database.
    `root` is the root hash that the rows give.
    """

    size: int
    since: int
    root: bytes
    heads: int
    hashed: int
    findings: tuple[Finding, ...]
    kept: int = 0


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
    kept: Sequence[KeptHead] = (),
    jobs: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Verify the log at `url` from position `since` (rounded down) to its end.

    `keys` are the public keys of the log that are trusted; with none, those that the database itself names are used.
    What was sealed before `since` is taken from the stored tiles, which the signed heads that follow confirm.
    Raises `UnavailableError` while the database is away, `ConfigurationError` when a kept head is none of
    this log, or when the database is another release's.
    """
    with closing(Database(url, role, size=3, application_name=APPLICATION)) as database:
        found = tuple(check_structure(database))
        try:
            report = _Verification(database, url, tuple(keys), kept).run(since, jobs, progress)
        except LogInconsistentError as exc:  # too broken to go on
            report = Report(0, since, b"", 0, 0, (Finding(None, str(exc)),))
        except (AttributeError, TypeError, ValueError, StatementError) as exc:
            # Values of kinds that the tables' own declarations rule out: those were changed, as the findings say.
            kind = exc.name if isinstance(exc, StatementError) else type(exc).__name__
            what = f"the log can't be read to its end ({kind}): its tables were changed"
            report = Report(0, since, b"", 0, 0, (Finding(None, what),))
        except ConfigurationError:
            if not found:  # nothing was changed: it is another release's database, or none
                raise
            report = Report(0, since, b"", 0, 0, ())
    return report._replace(findings=tuple(in_order((*report.findings, *found))))


class _Verification:
    def __init__(
        self, database: Database, url: str, keys: tuple[VerifierKey, ...], kept: Sequence[KeptHead]
    ) -> None:
        self._database = database
        self._url = url
        with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            self._keys = keys or tuple(stored_keys(connection))
            self._state = _State(*read_state(connection))
            cursor.execute(_SQL["smallest_head"])
            # A log of a release that did not sign has no head of the empty log, and none of its first batches.
            self._signed_from = only(cursor) or 0
        self._resets = stream_resets(database)
        self._kept = [_opened(each, self._keys) for each in kept]

    def run(self, since: int, jobs: int, progress: Progress) -> Report:
        size = self._state.size
        below = min(max(since, 0), size) // CHUNK
        first = below * CHUNK
        with ThreadPoolExecutor(1, "side-tables") as thread:
            beside = thread.submit(self._beside, first)
            try:
                tree, streams, counts = self._read(below, jobs, progress)
            except BaseException:
                beside.cancel()
                raise
            found = [*beside.result(), *self._sizes(size)]
        found += tree.judge()
        found += streams.findings(self._database)
        with self._database.transaction(read_only=True) as connection:
            found += tree.compare_tiles(connection)
        found += tree.compare_state(*self._state)
        return Report(size, first, tree.root, *counts, tuple(in_order(found)), len(self._kept))

    def _tasks(self, first: int) -> Iterator[Task]:
        """The chunks, each with the kept heads that end in it; one of size 0 goes with the first."""
        size = self._state.size
        for start in range(first, max(size, first + 1), CHUNK):
            until = min(start + CHUNK, size)
            kept = (head for head in self._kept if (start or -1) < head.size <= until)
            yield Task(start, until, tuple(kept), self._resets, self._signed_from)

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

    def _beside(self, first: int) -> list[Finding]:
        return check_side_tables(self._database, first)

    def _sizes(self, size: int) -> Iterator[Finding]:
        """Heads that were kept elsewhere and are larger than the log."""
        for head in self._kept:
            if head.size > size:
                yield Finding(
                    size,
                    f"the log ends here, but the signed head{head.source} proves {head.size} events:"
                    " its tail was cut off, or the database is an older copy",
                )


class _Streams:
    """Stream positions across chunks: within a stream they grow, unless Kafka had lost records and that is recorded."""

    def __init__(self, resets: Resets) -> None:
        self._resets = resets
        self._last: dict[bytes, tuple[int, int]] = {}
        self._found: list[Finding] = []

    def add(self, result: Result) -> None:
        for stream, (first, last, position) in result.streams.items():
            before = self._last.get(stream)
            anew = before is not None and began_anew(self._resets, stream, before[1], result.until)
            if before is not None and first <= before[0] and not anew:
                self._found.append(
                    Finding(
                        result.first,
                        f"stream {stream.hex()} goes on at {first}, although it had come to {before[0]}",
                    )
                )
            self._last[stream] = (last, position)

    def findings(self, database: Database) -> list[Finding]:
        rows = ((stream, last, position) for stream, (last, position) in self._last.items())
        return self._found + check_offsets(database, rows, self._resets)


def _opened(kept: KeptHead, keys: Sequence[VerifierKey]) -> Head:
    try:
        head, _ = open_head(kept.note, keys)
    except ProofError as exc:
        raise ConfigurationError(f"{kept.place} is no signed head of this log: {exc}") from exc
    return Head(head.size, head.root, kept.note, f" in {kept.place}")


Submit = Callable[[Task], "Future[Result]"]


@contextmanager
def _workers(url: str, database: Database, keys: tuple[VerifierKey, ...], jobs: int) -> Iterator[Submit]:
    """`jobs` processes that check chunks, each with a thread that waits for it; a single one is that thread itself."""
    with ThreadPoolExecutor(max(jobs, 1), "chunk") as threads:
        if jobs < 2:
            yield lambda task: threads.submit(check_chunk, database, task, keys)
            return
        workers = [Worker(Start(url, database.role, keys)) for _ in range(jobs)]
        idle = SimpleQueue[Worker]()
        for worker in workers:
            idle.put(worker)

        def check(task: Task) -> Result:
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


def _in_turn(submit: Submit, tasks: Iterable[Task], ahead: int) -> Iterator[Result]:
    """Results in the order of the tasks, with a bounded number of tasks under way."""
    waiting: deque[Future[Result]] = deque()
    for task in tasks:
        waiting.append(submit(task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
