"""Dependencies for FastAPI: they name the actor that the application's own dependency has verified."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import Depends

from audit_trail_publisher.context import bound
from audit_trail_publisher.trail import Trail
from audit_trail_publisher.web.identity import identity_of
from audit_trail_publisher.web.request_record import context_of, current_request


def identified(who: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    """Decorate the dependency that verifies the caller, so that all events of the request name the caller as the actor.

    `who` returns the claims, an `Actor`, a user's id, or None for nobody; the dependency's value stays the same::

        @identified
        def verified_claims(authorization: Annotated[str, Header()]) -> dict[str, Any]: ...

        def physician(claims: Annotated[dict[str, Any], Depends(verified_claims)]) -> None: ...

        @app.delete("/patients/{id}", dependencies=[Depends(physician)])

    The actor is known as soon as `who` has returned: also in the `access.denied` of a dependency that comes next and
    refuses the caller, in whatever order the route names them.
    """

    async def verified(found: Any = Depends(who)) -> AsyncIterator[Any]:  # noqa: B008 - FastAPI's way
        identity = identity_of(found)
        record = current_request()
        if record is not None:
            record.identity = identity
        with bound(**context_of(identity)):
            yield found

    return verified


def trail_as(trail: Trail, who: Callable[..., Any]) -> Callable[..., Any]:
    """A dependency that returns `trail`, and names the actor of all events of the request as `identified` does.

    `who` is the application's dependency that verifies the caller, itself decorated with `identified` if another
    dependency refuses callers whom `who` knows::

        CurrentTrail = Annotated[Trail, Depends(trail_as(trail, verified_claims))]

        @app.get("/patients/{id}")
        async def patient(id: str, audit: CurrentTrail) -> Patient:
            await audit.aio.record.read(patient=id, resource=("Patient", id))

    A route with a plain ``def`` calls ``audit.record.read(...)``. Without an actor (`who` returned None), events of the
    route need one of their own: see `MissingActorError`.
    """

    async def current_trail(_: Any = Depends(identified(who))) -> Trail:  # noqa: B008 - FastAPI's way
        return trail

    return current_trail
