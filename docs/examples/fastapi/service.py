"""A service with FastAPI and PostgreSQL. It records who reads and changes observations, and who is denied.

    pip install 'audit-trail-publisher[fastapi,sqlalchemy]' psycopg2-binary PyJWT uvicorn
    python service.py            # makes the tables, once
    uvicorn service:app

DATABASE_URL: postgresql://... of the service's own database. TOKEN_KEY: the key with which tokens of users are signed.
AUDIT_URL: the API of Audit Trail. AUDIT_TOKEN_FILE: a file with a token that has the role publisher.
AUDIT_SPOOL: a folder on a local disk, for events on their way.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jwt
import psycopg2
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from audit_trail_publisher import Publisher, Trail
from audit_trail_publisher.outbox.outbox import Outbox, postgresql_tables
from audit_trail_publisher.sqlalchemy import SessionAudit
from audit_trail_publisher.transports.http import token_from_file
from audit_trail_publisher.web.asgi import AuditMiddleware
from audit_trail_publisher.web.fastapi import identified, trail_as

DATABASE_URL = os.environ["DATABASE_URL"]
engine = create_engine(DATABASE_URL)
Sessions = sessionmaker(engine)

trail = Publisher(
    "observation-service",
    url=os.environ["AUDIT_URL"],
    token=token_from_file(os.environ["AUDIT_TOKEN_FILE"]),
    spool=os.environ["AUDIT_SPOOL"],
    outbox=Outbox(lambda: psycopg2.connect(DATABASE_URL)),
)


class Base(DeclarativeBase):
    """The tables of the service."""


class Observation(Base):
    """What was measured on a patient."""

    __tablename__ = "observation"
    id: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[str]
    status: Mapped[str]
    comment: Mapped[str]


# Each row that a session writes is an event, in the transaction that writes the row.
audit = SessionAudit(trail)
audit.watch(Observation, patient="patient_id", mask=["comment"])
audit.install(Sessions)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Record the start and the stop of the service, and send events in between."""
    with trail:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(AuditMiddleware, trail=trail, proxies=["127.0.0.1", "10.0.0.0/8"], skip=["/healthz"])

Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


@identified
def verified_claims(bearer: Bearer) -> dict[str, Any]:
    """The claims of the caller's token. The service checks it; all events of the request name the caller."""
    try:
        claims: dict[str, Any] = jwt.decode(
            bearer.credentials, os.environ["TOKEN_KEY"], algorithms=["HS256"], audience="observations"
        )
    except jwt.InvalidTokenError as exc:
        raise HTTPException(401) from exc
    return claims


def physician(claims: Annotated[dict[str, Any], Depends(verified_claims)]) -> dict[str, Any]:
    """The claims of a physician."""
    if "physician" not in claims.get("roles", ()):
        raise HTTPException(403)
    return claims


CurrentTrail = Annotated[Trail, Depends(trail_as(trail, verified_claims))]
"""The trail for a route, whose caller must have a valid token."""


class NewObservation(BaseModel):
    """The body of a PUT."""

    patient_id: str
    status: str
    comment: str = ""


@app.put("/observations/{id}")
def put_observation(id: str, new: NewObservation, _: CurrentTrail) -> NewObservation:
    """Create or change an observation. The session records it."""
    with Sessions.begin() as session:
        session.merge(Observation(id=id, **new.model_dump()))
    return new


@app.get("/observations/{id}")
def get_observation(id: str, audit: CurrentTrail) -> NewObservation:
    """Read an observation. No session can know who has seen it, so the route records that."""
    with Sessions() as session:
        found = session.get(Observation, id)
        if found is None:
            raise HTTPException(404)
        audit.record.read(patient=found.patient_id, resource=("Observation", id), purpose_of_use=["TREAT"])
        return NewObservation.model_validate(found, from_attributes=True)


@app.delete("/observations/{id}", dependencies=[Depends(physician)])
def delete_observation(id: str, _: CurrentTrail) -> None:
    """Delete an observation. For physicians."""
    with Sessions.begin() as session:
        found = session.get(Observation, id)
        if found is None:
            raise HTTPException(404)
        session.delete(found)


@app.get("/healthz")
def healthz() -> str:
    """For the orchestrator. `trail.health()` says whether events reach the trail; that must not end the service."""
    return "ok"


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(postgresql_tables())
