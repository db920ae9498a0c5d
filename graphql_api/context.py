"""The state that the resolvers of one request share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from domain.access.principal import Principal
from domain.errors import AuditTrailError
from domain.tree_head import InclusionProof, SignedTreeHead
from graphql_api.errors import QueryError, from_domain, translated
from queries.error_codes import Code
from queries.filters.event_filter import CountBy, Distinct, EventFilter
from queries.following.feed import Feed
from queries.freshness import MAX_SECONDS, Freshness, FreshnessWaiter, Reached
from queries.limits import QueryLimits
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery
from queries.thread_pool import Threads

P = ParamSpec("P")
T = TypeVar("T")


class Record(Protocol):
    """The access record of a subscription: `web.read_audit.access_record.AccessRecord`."""

    async def write_start(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Record that it starts. Raises `UnrecordedError` when it must not start."""
        ...

    def discard(self) -> None:
        """Drop the queries since the last result: their answers are sent to nobody."""
        ...


class Context:
    """One request: the read models, the log, and what is left of the limits. The operations of a batch share one."""

    def __init__(
        self,
        models: ScopedModels,
        log: ScopedLog,
        threads: Threads,
        limits: QueryLimits,
        waiting: FreshnessWaiter | None = None,
        feed: Feed | None = None,
        *,
        client_key: str = "",
        principal: Principal | None = None,
        record: Record | None = None,
        refresh: Callable[[], Awaitable[ScopedModels]] | None = None,
    ) -> None:
        self.client_key = client_key
        """The client whose subscriptions are counted together."""
        self.models = models
        self.principal = principal
        self._record = record
        self._refresh = refresh
        self.feed = feed
        self._waiting = waiting or FreshnessWaiter(models, threads)
        self._wait_until: float | None = None
        self.log = log
        self.limits = limits
        self._threads = threads
        self._charged = 0
        self.renew()

    def renew(self) -> None:
        """Reset the limits: each result of a subscription counts as a request."""
        self._events_left = self.limits.max_events
        self._proofs: DataLoader[tuple[int, int | None], InclusionProof] | None = None
        self._newest: asyncio.Future[SignedTreeHead | None] | None = None

    def spend(self, events: int) -> None:
        """Count `events`, or proofs, against the request's limit. Raises `QueryError` when it is used up."""
        self._events_left -= events
        if self._events_left < 0:
            raise QueryError(
                Code.LIMIT_EXCEEDED,
                f"the pages of one request may hold at most {self.limits.max_events} events in all, proofs included",
            )

    def charge(self, cost: int) -> None:
        """Count an operation's estimated cost against the request's limit. Raises `QueryError` when it is exceeded."""
        self._charged += cost
        limit = self.limits.max_cost
        if self._charged > limit:
            whole = "the query" if self._charged == cost else "this batch"
            raise QueryError(
                Code.LIMIT_EXCEEDED,
                f"{whole} would cost {self._charged}, and at most {limit} is allowed; "
                "request shorter lists, or fewer fields of each item",
                requested=self._charged,
                limit=limit,
            )

    def prepare(
        self,
        filter: EventFilter,
        by: CountBy | None = None,
        distinct: Collection[Distinct] = (),
        *,
        max_days: int | None = None,
    ) -> PreparedQuery:
        """The query of a page, or with `by` of counts. Raises `QueryError` when it is denied, invalid or too large."""
        most = self.limits.max_unindexed_days if max_days is None else max_days
        try:
            return self.models.prepare(filter, by, distinct, max_days=most)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def require(self, subject: str, id: str, type: str = "") -> None:
        """Raise `QueryError` when the principal may not read the summary of a subject. It does not block."""
        try:
            self.models.require(subject, id, type)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def list_size(self, wanted: int, argument: str = "limit") -> int:
        """`wanted`, if a list may have that many rows; else raises `QueryError` that names the argument."""
        return _checked(wanted, self.limits.max_list, argument, "")

    def page_size(self, wanted: int, argument: str = "first") -> int:
        """`wanted`, if a page may have that many events, which count against the request's limit."""
        size = _checked(wanted, self.limits.max_page, argument, "; ask for more pages")
        self.spend(size)
        return size

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a read model in a thread; an `AuditTrailError` becomes the client's error."""
        try:
            return await self._threads.run(function, *args, **kwargs)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    async def refresh_models(self) -> None:
        """Renew the scope before a subscription reads more: what the subscriber may see can have changed."""
        if self._refresh is not None:
            self.models = await self._refresh()

    async def record_start(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Record that a subscription starts. Raises `QueryError` when it must not start."""
        if self._record is not None:
            try:
                await self._record.write_start(operation, parameters)
            except AuditTrailError as exc:
                raise from_domain(exc) from exc

    @asynccontextmanager
    async def subscribed(self, feed: Feed) -> AsyncIterator[None]:
        """Count a subscription of the client for the block. Raises `QueryError` when it may have no more."""
        with translated():
            async with feed.subscribed(self.client_key):
                yield

    def discard_reads(self) -> None:
        """Drop the reads since the last result from the access record: they found nothing new."""
        if self._record is not None:
            self._record.discard()

    async def wait(self, freshness: Freshness, reached: Reached) -> None:
        """Return when the projections are as fresh as the client wants. Raises `QueryError` with their position.

        All fields and operations of a request together wait at most `MAX_SECONDS`.
        """
        if self._wait_until is None:
            self._wait_until = asyncio.get_running_loop().time() + MAX_SECONDS
        try:
            await self._waiting.until(freshness, reached, self._wait_until, models=self.models)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def compare(self, freshness: Freshness, as_of_position: int) -> None:
        """Raise `QueryError` when an answer is not fresh enough: a projection may have been reset meanwhile."""
        try:
            freshness.compare(as_of_position)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    async def newest_head(self) -> SignedTreeHead | None:
        """The newest signed head, the same for the whole request, so that proofs fit the head beside them."""
        if self._newest is None:
            self._newest = asyncio.ensure_future(self.read(self.log.tree_head))
        return await self._newest

    async def inclusion_proof(self, position: int, tree_size: int | None) -> InclusionProof:
        """A proof in the tree of `tree_size`, or the newest signed one. The proofs of a page are read together."""
        if tree_size is None:
            head = await self.newest_head()
            # An event may have been recorded after the request's head was read.
            tree_size = head.size if head is not None and position < head.size else None
        if self._proofs is None:
            self._proofs = DataLoader(self._prove)
        return await self._proofs.load((position, tree_size))

    async def _prove(self, wanted: list[tuple[int, int | None]]) -> list[InclusionProof | BaseException]:
        proofs = await self.read(self.log.inclusion_proofs, wanted)
        return [from_domain(proof) if isinstance(proof, AuditTrailError) else proof for proof in proofs]


Info = strawberry.Info[Context, None]


def _checked(wanted: int, most: int, argument: str, advice: str) -> int:
    if wanted < 1:
        raise QueryError(Code.BAD_USER_INPUT, f"`{argument}` must be at least 1", argument=argument)
    if wanted > most:
        raise QueryError(
            Code.LIMIT_EXCEEDED, f"`{argument}` may be at most {most}{advice}", argument=argument
        )
    return wanted
