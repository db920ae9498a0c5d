"""`/log`: the transparency log as C2SP tlog-tiles serves it, and `GET /v1/events/{id}/proof`.

It holds no personal data, so mirrors, caches and the public may have it. A tile or an entry bundle never changes: its
path stands for the same bytes for ever.
"""

from __future__ import annotations

import gzip
from hashlib import sha256
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from domain.access.grants import Operation
from domain.errors import ProofError
from event_store.log_reader import LogReader
from event_store.tlog.tiles import TilePath, parse_path
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import NO_EVENT, content, problems
from web.parameters.freshness import has

TEXT = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
FOR_EVER = "max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
"""Caches may store it, and revalidate it by its ETag."""

_CHECKPOINT_EXAMPLE = (
    "hospital.example/audit\n1045\n1nHVxLvWJVPVbIBZfvCwrvVfZgyXNLTSFmKBEVUoJ0k=\n\n"
    "\u2014 hospital.example/audit nTPlTF3Zy+6rcg==...\n"
)
_POLICY_EXAMPLE = (
    "log hospital.example/audit+9d33e54c+AW...\nwitness W1 witness.example/w1+8ea1c2f0+BG...\n"
    "witness W2 witness.example/w2+51d6a30b+BI...\ngroup any-of-two any W1 W2\nquorum any-of-two\n"
)
_TILE = (
    "A tile of hashes (C2SP tlog-tiles). `index` is written in groups of three digits, as in `x001/x234/067`; a tile"
    " that is not full has `.p/` and its width behind it."
)
_ENTRIES = (
    "The leaf entries below a tile of level 0, each behind its length in two bytes. Paths as those of tiles."
)
_Index = Annotated[
    str,
    Path(
        description="Which one.",
        examples=["000"],
        json_schema_extra={"pattern": "^(x[0-9]{3}/)*[0-9]{3}([.]p/[1-9][0-9]{0,2})?$"},
    ),
]
_Level = Annotated[
    str, Path(description="Its height.", examples=["0"], json_schema_extra={"pattern": "^(0|[1-9][0-9]?)$"})
]
_Head = Annotated[
    Literal["newest"],
    Query(
        description="`newest`: the proof to the newest signed tree head, also if no witness has cosigned it."
    ),
]
_NOTHING = "nothing was recorded yet, so nothing is signed"
_TOO_SMALL = "the log is not that large"


def log_routes(log: LogReader, access: Access, threads: Threads, *, public: bool) -> APIRouter:
    """The routes for mirrors, monitors and verifiers; if they are `public`, they need no token."""
    needed = [] if public else [Depends(access.dependency(Operation.READ_PROOFS))]
    # A shared cache must not store an answer that needs a token (RFC 9111, section 3.5).
    whose = "public" if public else "private"
    router = APIRouter(prefix="/log", tags=["log"], dependencies=needed)
    _add_heads(router, log, threads, f"{whose}, {ASK_AGAIN}")
    _add_keys(router, log, threads, f"{whose}, {ASK_AGAIN}")
    _add_tiles(router, log, threads, f"{whose}, {FOR_EVER}")
    return router


def _add_heads(router: APIRouter, log: LogReader, threads: Threads, control: str) -> None:
    @router.get(
        "/checkpoint",
        summary="The newest signed tree head that satisfies the witness policy (C2SP tlog-checkpoint)",
        response_class=Response,
        description="Without a policy: the newest signed tree head.",
        responses={**content(TEXT, _CHECKPOINT_EXAMPLE), **problems(403, 404, 503, missing=_NOTHING)},
    )
    async def checkpoint(request: Request) -> Response:
        return _text(request, control, await threads.run(log.checkpoint))

    @router.get(
        "/newest-checkpoint",
        summary="The newest signed tree head, whoever has cosigned it",
        response_class=Response,
        responses={**content(TEXT, _CHECKPOINT_EXAMPLE), **problems(403, 404, 503, missing=_NOTHING)},
    )
    async def newest_checkpoint(request: Request) -> Response:
        return _text(request, control, await threads.run(log.newest_checkpoint))

    @router.get(
        "/policy",
        summary="The witness policy of this log (C2SP tlog-policy)",
        response_class=Response,
        responses={
            **content(TEXT, _POLICY_EXAMPLE),
            **problems(403, 404, 503, missing="this log has no witness policy"),
        },
    )
    async def policy(request: Request) -> Response:
        if log.policy is None:
            return problem(404, "this log has no witness policy")
        return _text(request, control, log.policy.text)


def _add_keys(router: APIRouter, log: LogReader, threads: Threads, control: str) -> None:
    @router.get(
        "/vkey",
        summary="The public keys that sign the log now, one a line (C2SP vkey)",
        response_class=Response,
        responses={
            **content(TEXT, "hospital.example/audit+9d33e54c+AW...\n"),
            **problems(403, 404, 503, missing=_NOTHING),
        },
    )
    async def vkey(request: Request) -> Response:
        keys = await threads.run(log.signing_keys)
        return _text(request, control, "".join(f"{key.encode()}\n" for key in keys).encode())

    @router.get(
        "/vkeys",
        summary="All public keys that the log has had: the first tree size of each, a space, the key",
        response_class=Response,
        responses={
            **content(TEXT, "0 hospital.example/audit+9d33e54c+AW...\n"),
            **problems(403, 404, 503, missing=_NOTHING),
        },
    )
    async def vkeys(request: Request) -> Response:
        keys = await threads.run(log.first_sizes)
        return _text(request, control, "".join(f"{size} {key.encode()}\n" for size, key in keys).encode())


def _add_tiles(router: APIRouter, log: LogReader, threads: Threads, control: str) -> None:
    @router.get(
        "/tile/entries/{index:path}",
        summary="A bundle of leaf entries",
        response_class=Response,
        description=_ENTRIES,
        responses={**content(OCTETS), **problems(403, 404, 503, missing=_TOO_SMALL)},
    )
    async def entries(request: Request, index: _Index) -> Response:
        return await _tile(request, f"tile/entries/{index}")

    @router.get(
        "/tile/{level}/{index:path}",
        summary="A tile of hashes",
        response_class=Response,
        description=_TILE,
        responses={**content(OCTETS), **problems(403, 404, 503, missing=_TOO_SMALL)},
    )
    async def tile(request: Request, level: _Level, index: _Index) -> Response:
        return await _tile(request, f"tile/{level}/{index}")

    async def _tile(request: Request, path: str) -> Response:
        # A tile has one URL, so that a cache can't store it twice under different escapes.
        sent = request.scope.get("raw_path")
        try:
            wanted = parse_path(path)
        except ProofError as exc:
            return problem(404, str(exc))
        if sent is not None and not sent.endswith(b"/log/" + path.encode()):
            return problem(404, "this is no path of a tile: it is written without escapes")
        packed = wanted.level is None and _takes_gzip(request)
        data = await threads.run(_read, log, wanted, packed)
        if data is None:
            return problem(404, _TOO_SMALL)
        headers = {"Vary": "Accept-Encoding"} if wanted.level is None else {}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return _cached(request, data, OCTETS, control, headers)


def proof_routes(log: LogReader, access: Access, threads: Threads) -> APIRouter:
    """The route that gives the proof of one event."""
    router = APIRouter(prefix="/v1/events", tags=["events"])

    @router.get(
        "/{event_id}/proof",
        summary="That the event is in the log: a proof file (C2SP tlog-proof)",
        response_class=Response,
        description="The tree head in it is the newest that satisfies the witness policy; 503 while that does not cover"
        " the event. Without a policy: the newest that a witness has cosigned, if it covers the event.",
        responses={**content(TEXT), **problems(400, 403, 404, 500, 503, missing=NO_EVENT)},
    )
    async def proof(request: Request, event_id: UUID, head: _Head | None = None) -> Response:
        models = await access.models_of(request)
        event = await threads.run(models.event, event_id)
        data = None if event is None else await threads.run(log.proof_file, event_id, newest=head is not None)
        if data is None:
            return problem(404, NO_EVENT)
        name = f'attachment; filename="{event_id}.tlog-proof"'
        return Response(data, 200, {"Content-Disposition": name}, TEXT)

    return router


def _read(log: LogReader, wanted: TilePath, packed: bool) -> bytes | None:
    if wanted.level is not None:
        return log.tile(wanted.level, wanted.index, wanted.width)
    data = log.entries(wanted.index, wanted.width)
    return gzip.compress(data, mtime=0) if packed and data is not None else data


def _text(request: Request, control: str, data: bytes | None) -> Response:
    return _cached(request, data, TEXT, control, {}) if data else problem(404, _NOTHING)


def _cached(request: Request, data: bytes, media: str, control: str, headers: dict[str, str]) -> Response:
    tag = f'"{sha256(data).hexdigest()[:32]}"'
    headers |= {"Cache-Control": control, "ETag": tag}
    if has(request, tag):
        headers.pop("Content-Encoding", None)
        return Response(None, 304, headers)
    return Response(data, 200, headers, media)


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in {"gzip", "x-gzip"}:
            quality = parameters.strip().lower().removeprefix("q=").strip()
            return not quality or quality.strip("0.") != ""
    return False
