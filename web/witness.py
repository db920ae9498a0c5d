"""The witness over HTTP (C2SP tlog-witness): an application of its own, which a second party runs.

The submission prefix and the monitoring prefix of the specification are the same here.
"""

from __future__ import annotations

import re

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from domain.errors import AuditTrailError, UnavailableError
from event_store.tlog.witness_protocol import SIZE_MEDIA_TYPE, encode_cosignatures, encode_size
from event_store.witness.cosigner import Answer, CosigningResult, Witness
from event_store.witness.metrics import WitnessMetrics
from web.http.problems import LastResort
from web.http.request_bodies import BodyLimit

log = structlog.get_logger(__name__)

# A tree head with 16 post-quantum signatures of 5 kB in base64, and a proof of 63 hashes, fit.
MAX_BODY = 256 * 1024
BODY_SECONDS = 10.0
RETRY_AFTER = 5

_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_STATUS = {
    CosigningResult.COSIGNED: 200,
    CosigningResult.MALFORMED: 400,
    CosigningResult.NOT_SIGNED: 403,
    CosigningResult.UNKNOWN_LOG: 404,
    CosigningResult.CONFLICT: 409,
    CosigningResult.INCONSISTENT: 422,
}


def create_witness_app(witness: Witness, metrics: WitnessMetrics | None = None) -> Starlette:
    """`POST /add-checkpoint`, `GET /<origin hash>/checkpoint`, `GET /vkey` and `GET /healthz`."""

    async def add_checkpoint(request: Request) -> Response:
        answer = await run_in_threadpool(witness.add_checkpoint, await request.body())
        _log_answer(answer)
        if metrics is not None:
            metrics.count(answer)
        return _response(answer)

    async def checkpoint(request: Request) -> Response:
        origin_hash = request.path_params["origin_hash"]
        note = None
        if _ORIGIN_HASH.fullmatch(origin_hash):
            note = await run_in_threadpool(witness.latest, origin_hash)
        if note is None:
            return PlainTextResponse("nothing of this log was cosigned here\n", 404)
        return PlainTextResponse(note, headers={"Cache-Control": "no-cache"})

    async def vkey(_: Request) -> Response:
        return PlainTextResponse("".join(key.encode() + "\n" for key in witness.verifiers))

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin_hash}/checkpoint", checkpoint),
            Route("/vkey", vkey),
            Route("/healthz", alive),
        ],
        middleware=[
            Middleware(LastResort),
            Middleware(BodyLimit, limit=lambda _: MAX_BODY, timeout=BODY_SECONDS),
        ],
        exception_handlers={UnavailableError: _away, AuditTrailError: _stopped},
    )


def _response(answer: Answer) -> Response:
    status = _STATUS[answer.outcome]
    if answer.outcome is CosigningResult.COSIGNED:
        return PlainTextResponse(encode_cosignatures(answer.signatures), status)
    if answer.outcome is CosigningResult.CONFLICT:
        # Set as a header, because Starlette adds a charset to media types of text.
        return Response(encode_size(answer.size), status, {"Content-Type": SIZE_MEDIA_TYPE})
    return PlainTextResponse(answer.message + "\n", status)


def _log_answer(answer: Answer) -> None:
    if answer.outcome is CosigningResult.COSIGNED:
        log.info("cosigned", origin=answer.origin, size=answer.size)
    elif answer.outcome is CosigningResult.INCONSISTENT:
        # The log has signed it: either its client is broken, or it shows two histories.
        log.error("inconsistent_tree_head", origin=answer.origin, size=answer.size, reason=answer.message)
    else:
        log.info("refused", origin=answer.origin, outcome=answer.outcome.name.lower(), reason=answer.message)


async def _away(_: Request, exc: Exception) -> Response:
    log.warning("witness_unavailable", reason=str(exc))
    return PlainTextResponse("try again\n", 503, {"Retry-After": str(RETRY_AFTER)})


async def _stopped(_: Request, exc: Exception) -> Response:
    log.error("witness_stopped", reason=str(exc))
    return PlainTextResponse("the witness's operator must inspect it\n", 500)
