"""The context of an event: who acts, in which session, from where.

It follows async tasks by itself, and threads by `carry`. There is one context for all publishers of a process.
Middleware binds it for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from audit_trail_publisher.generated.event import Actor, Client, Request

P = ParamSpec("P")
T = TypeVar("T")


class Context(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of an event that its surroundings give. What a call gives goes before them."""

    actor: Actor | None = None
    session: str | None = None
    client: Client | None = None
    correlation_id: str | None = None
    request: Request | None = None
    purpose_of_use: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = {}
    """Attributes of every event within; those of a call are added."""


_current: ContextVar[Context] = ContextVar("audit_trail_context", default=Context())  # noqa: B039 - it is frozen


def current_context() -> Context:
    """The context here and now."""
    return _current.get()


@contextmanager
def bound(**changes: Any) -> Iterator[Context]:
    """The current context with `changes` (fields of `Context`) until the end of the block.

    `attributes` are added to those of the context around it. In async code it holds for this task and the tasks that
    it starts.
    """
    around = _current.get()
    if "attributes" in changes:
        changes["attributes"] = {**around.attributes, **changes["attributes"]}
    token = _current.set(replace(around, **changes))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def set_context(context: Context) -> None:
    """Replace the context of this task or thread, for callers that have no block: a worker that begins a task."""
    _current.set(context)


def carry(function: Callable[P, T]) -> Callable[P, T]:
    """`function` with the context of now, for another thread: ``executor.submit(carry(work), ...)``.

    `asyncio.to_thread` carries the context by itself; `loop.run_in_executor` and `threading.Thread` do not.
    """
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        # A context can be entered once at a time, and the function may run in several threads.
        return context.copy().run(function, *args, **kwargs)

    return carried


def dump_context(context: Context | None = None) -> dict[str, Any]:
    """The context (default: the current one) as JSON values, for the headers of a task that another process runs."""
    dumped: dict[str, Any] = msgspec.to_builtins(current_context() if context is None else context)
    return dumped


def load_context(values: Mapping[str, Any]) -> Context:
    """The context of `dump_context`'s result. Raises `msgspec.ValidationError` for other values."""
    return msgspec.convert(values, Context)
