"""The limits of one request, for GraphQL and REST."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """The limits of one request.

    `max_page`, `max_cost`, `max_batch`, `max_unindexed_days` and `introspection` are settings.
    """

    max_page: int = 100
    """Events in one page: the cap of `first` and `last`."""
    max_events: int = 500
    """Events in all pages of one HTTP request, batches included: it bounds the event loop's share."""
    max_depth: int = 12
    max_tokens: int = 2000
    max_aliases: int = 30
    max_directives: int = 50
    max_batch: int = 5
    max_list: int = 1000
    """Rows in one list of a subject's summary: the cap of `limit`."""
    max_cost: int = 50_000
    """The cost of a request, by the estimate of `graphql_api.execution.cost`; a batch counts as a whole."""
    max_unindexed_days: int = 31
    """The longest range of times of a filter without an index; 0 is no limit. See `queries.search.time_limits`."""
    introspection: bool = True
