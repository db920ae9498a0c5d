"""What the resolvers of one HTTP request share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from domain.access.principal import Principal
from domain.errors import AuditTrailError
from domain.tree_head import InclusionProof, SignedTreeHead
from graphql_api.errors import QueryError, from_domain
from graphql_api.subscription_feed import Feed
from queries.error_codes import Code
from queries.filters import CountBy, EventFilter
from queries.freshness import MAX_SECONDS, Freshness, Reached, Waiting
from queries.limits import QueryLimits
from queries.prepared import PreparedQuery
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from queries.thread_pool import Threads

P = ParamSpec("P")
T = TypeVar("T")


class Record(Protocol):
    """Puts what a subscription does on record, as `web.read_audit.access_record.Looking` does."""

    async def began(self, operation: str, asked: Mapping[str, Any]) -> None:
        """It begins. Raises `UnrecordedError` when it must not."""
        ...

    def passed(self) -> None:
        """What was read up to now is told to nobody."""
        ...


class Context:
    """One request: the read models, the log, the limits, and how much of them is used up. A batch shares one."""

    def __init__(
        self,
        models: ScopedModels,
        log: ScopedLog,
        threads: Threads,
        limits: QueryLimits,
        waiting: Waiting | None = None,
        feed: Feed | None = None,
        *,
        client_key: str = "",
        principal: Principal | None = None,
        record: Record | None = None,
        anew: Callable[[], Awaitable[ScopedModels]] | None = None,
    ) -> None:
        self.client_key = client_key
        """Whose subscriptions are counted together."""
        self.models = models
        self.principal = principal
        self._record = record
        self._anew = anew
        self.feed = feed
        self._waiting = waiting or Waiting(models, threads)
        self._wait_until: float | None = None
        self.log = log
        self.limits = limits
        self._threads = threads
        self._charged = 0
        self.renew()

    def renew(self) -> None:
        """Begin anew with the limits: each result of a subscription is as much as a request."""
        self._events_left = self.limits.max_events
        self._proofs: DataLoader[tuple[int, int | None], InclusionProof] | None = None
        self._newest: asyncio.Future[SignedTreeHead | None] | None = None

    def spend(self, events: int) -> None:
        """Count a page of `events`, or proofs, against the request's limit. `QueryError` when that is used up."""
        self._events_left -= events
        if self._events_left < 0:
            raise QueryError(
                Code.LIMIT_EXCEEDED,
                f"the pages of one request may ask for {self.limits.max_events} events in all, proofs counted too",
            )

    def charge(self, cost: int) -> None:
        """Count an operation's estimated cost against the request's limit. `QueryError` when it is over that."""
        self._charged += cost
        limit = self.limits.max_cost
        if self._charged > limit:
            whole = "the query" if self._charged == cost else "this batch"
            raise QueryError(
                Code.LIMIT_EXCEEDED,
                f"{whole} would cost {self._charged}, and at most {limit} is allowed; "
                "ask for shorter lists, or for less of each item",
                requested=self._charged,
                limit=limit,
            )

    def prepare(
        self, filter: EventFilter, by: CountBy | None = None, *, max_days: int | None = None
    ) -> PreparedQuery:
        """The query of a page, or with `by` of counts. Raises `QueryError` when it is denied, invalid or too large."""
        most = self.limits.max_unindexed_days if max_days is None else max_days
        try:
            return self.models.prepare(filter, by, max_days=most)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def require(self, subject: str, id: str, type: str = "") -> None:
        """Raise `QueryError` when the summary of a subject may not be asked for. It waits for nothing."""
        try:
            self.models.require(subject, id, type)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def list_size(self, wanted: int, argument: str = "limit") -> int:
        """`wanted` when a list may have that many rows; `QueryError` that names the argument otherwise."""
        return _checked(wanted, self.limits.max_list, argument, "")

    def page_size(self, wanted: int, argument: str = "first") -> int:
        """As `list_size`, of a page, whose events count for the request."""
        size = _checked(wanted, self.limits.max_page, argument, "; ask for more pages")
        self.spend(size)
        return size

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a read model in a thread; a failure that is ours becomes the client's error."""
        try:
            return await self._threads.run(function, *args, **kwargs)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    async def look_again(self) -> None:
        """Before a subscription reads more: what its subscriber may see can have become another thing."""
        if self._anew is not None:
            self.models = await self._anew()

    async def began(self, operation: str, asked: Mapping[str, Any]) -> None:
        """Put the begin of a subscription on record. Raises `QueryError` when it must not begin."""
        if self._record is not None:
            try:
                await self._record.began(operation, asked)
            except AuditTrailError as exc:
                raise from_domain(exc) from exc

    def passed(self) -> None:
        """What was read up to now is told to nobody: it was another look for what is new."""
        if self._record is not None:
            self._record.passed()

    async def wait(self, freshness: Freshness, reached: Reached) -> None:
        """Return when an answer can have what is wanted of it. Raises `QueryError` that says how far it is.

        All of a request's fields and operations wait `MAX_SECONDS` together at most.
        """
        if self._wait_until is None:
            self._wait_until = asyncio.get_running_loop().time() + MAX_SECONDS
        try:
            await self._waiting.until(freshness, reached, self._wait_until, models=self.models)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    def compare(self, freshness: Freshness, as_of_position: int) -> None:
        """Raise `QueryError` when an answer lacks what was waited for: a reset may have come between."""
        try:
            freshness.compare(as_of_position)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc

    async def newest_head(self) -> SignedTreeHead | None:
        """The newest signed head, the same for the whole request: what it proves fits what it shows."""
        if self._newest is None:
            self._newest = asyncio.ensure_future(self.read(self.log.tree_head))
        return await self._newest

    async def inclusion_proof(self, position: int, tree_size: int | None) -> InclusionProof:
        """A proof in the tree of `tree_size`, else in the newest signed one. All of a page are read together."""
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
