"""GraphQL answers and the record of reads: parts that were refused, and answers that are not on record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, MutableMapping, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from strawberry.types import ExecutionResult

from domain.errors import UnrecordedError
from domain.read_audit.events import Stage, Via
from graphql_api.errors import from_domain
from queries.error_codes import Code
from web.read_audit.access_record import Looking, looking_at


async def marked(request: Request, answer: MutableMapping[str, Any]) -> None:
    """Put what was read for a GraphQL answer on record; flag the answer when that fails and it is given all the same.

    When it must not be given, `Recorded` sends another in its place. A part that was refused is put on record too.
    """
    looking = looking_at(request)
    if looking is None or looking.streams:
        return
    looking.refused_parts += [
        _place(error.get("path"))
        for error in answer.get("errors") or ()
        if (error.get("extensions") or {}).get("code") == Code.FORBIDDEN
    ]
    try:
        await looking.keep(200)
    except UnrecordedError:
        return
    if looking.flagged:
        answer["extensions"] = {**(answer.get("extensions") or {}), "recorded": False}


async def recorded_results(looking: Looking, results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The results of a stream, each after what was read for it is on record; the last one says when that failed."""
    looking.streams = True
    async with aclosing(results):
        async for result in results:
            looking.refused_parts += [
                _place(error.path)
                for error in result.errors or ()
                if (error.extensions or {}).get("code") == Code.FORBIDDEN
            ]
            looking.tell_refused()
            try:
                # A query over a socket, or as a stream of one result, is answered at once.
                await looking.keep(stage=Stage.DELIVERED if looking.via is Via.SUBSCRIPTION else None)
            except UnrecordedError as exc:
                yield ExecutionResult(data=None, errors=[from_domain(exc)])
                return
            if looking.flagged:
                result.extensions = {**(result.extensions or {}), "recorded": False}
            yield result


def _place(path: Sequence[str | int] | None) -> str:
    return ".".join(map(str, path)) if path else "the subscription"
