"""Access records of GraphQL: denied parts of an answer, and answers whose reads were not recorded."""

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
from web.read_audit.access_record import AccessRecord, access_record_of


async def record_answer(request: Request, answer: MutableMapping[str, Any]) -> None:
    """Record the reads and the denied parts of a GraphQL answer, and flag the answer if they were not recorded.

    If it may not be sent then, `web.read_audit.middleware.Recorded` sends a refusal in its place.
    """
    record = access_record_of(request)
    if record is None or record.streams:
        return
    record.denied_parts += [
        _place(error.get("path"))
        for error in answer.get("errors") or ()
        if (error.get("extensions") or {}).get("code") == Code.FORBIDDEN
    ]
    try:
        await record.write(200)
    except UnrecordedError:
        return
    if record.flagged:
        answer["extensions"] = {**(answer.get("extensions") or {}), "recorded": False}


async def recorded_results(
    record: AccessRecord, results: AsyncGenerator[Any, None]
) -> AsyncGenerator[Any, None]:
    """The results of a stream, each once its reads are recorded. A failure to record ends the stream with an error."""
    record.streams = True
    async with aclosing(results):
        async for result in results:
            record.denied_parts += [
                _place(error.path)
                for error in result.errors or ()
                if (error.extensions or {}).get("code") == Code.FORBIDDEN
            ]
            record.write_denied_parts()
            try:
                # Queries over a socket, and streams of one result, have no stages.
                await record.write(stage=Stage.DELIVERED if record.via is Via.SUBSCRIPTION else None)
            except UnrecordedError as exc:
                yield ExecutionResult(data=None, errors=[from_domain(exc)])
                return
            if record.flagged:
                result.extensions = {**(result.extensions or {}), "recorded": False}
            yield result


def _place(path: Sequence[str | int] | None) -> str:
    return ".".join(map(str, path)) if path else "the subscription"
