"""One uvicorn with both sides of the GraphQL benchmark: the product's application, and beside it the raw one.

`python -m benchmarks.graphql_server URL TOKEN [BROKER TOPIC]` prints its port. Requests for `/columns` and `/store`
never meet the product. With a broker and a topic each read is put on record there before it is answered.
"""

from __future__ import annotations

import secrets
import sys
import threading
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any

import orjson
import psycopg2
from psycopg2.extras import register_uuid
from starlette.types import ASGIApp, Receive, Scope, Send

from audit_trail.runtime.garbage_collection import ANSWERS, spare_the_collector
from domain.access.principal import Principal, Role
from domain.event import Source
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.read_models import ReadModels
from web.app import create_app
from web.authentication.combined import Authentication
from web.http.listening_socket import listen
from web.http.server import Server
from web.probes import StoreProbes
from web.read_audit.access_record import AccessRecorder
from web.read_audit.publication import Recording, RecordingSettings
from web.settings import WebSettings

THREADS = 8
COLUMNS = """
SELECT event_id AS "eventId", position, recorded_at AS "recordedAt", occurred_at AS "occurredAt", type, action, outcome,
    service, kind, id, name, session, correlation_id AS "correlationId", emergency, reason
FROM bench_rows ORDER BY position DESC LIMIT 100
"""
"""15 columns that are ready: a table that the product does not have, and that no writer had to keep."""
STORED = "SELECT position, recorded_at, body FROM audit_trail.event ORDER BY position DESC LIMIT 100"


def from_columns(cursor: Any) -> bytes:
    """The page from the columns."""
    cursor.execute(COLUMNS)
    names = [column.name for column in cursor.description or ()]
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])


def from_store(cursor: Any) -> bytes:
    """The page from the same rows as the product's: 15 fields of the body of each."""
    cursor.execute(STORED)
    return orjson.dumps([_fields(*row) for row in cursor.fetchall()])


def _fields(position: int, recorded_at: datetime, body: memoryview) -> dict[str, Any]:
    said = orjson.loads(bytes(body))
    get, actor = said.get, said["actor"]
    return {
        "eventId": said["event_id"],
        "position": position,
        "recordedAt": recorded_at,
        "occurredAt": said["occurred_at"],
        "type": said["type"],
        "action": get("action"),
        "outcome": get("outcome", "success"),
        "source": {"service": said["source"]["service"]},
        "actor": {"kind": actor.get("kind", "user"), "id": actor.get("id"), "name": actor.get("name")},
        "session": get("session"),
        "correlationId": get("correlation_id"),
        "emergency": get("emergency", False),
        "reason": get("reason"),
    }


class Raw:
    """The least that can be done: one SELECT in a thread, `orjson.dumps`, no framework, nobody's rights checked."""

    def __init__(self, url: str, page: Callable[[Any], bytes]) -> None:
        self._url = url
        self._read = page
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        body = await get_running_loop().run_in_executor(self._threads, self._page)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _page(self) -> bytes:
        with self._connection().cursor() as cursor:
            return self._read(cursor)

    def _connection(self) -> Any:
        if not hasattr(self._local, "connection"):
            connection = psycopg2.connect(self._url)
            connection.autocommit = True
            register_uuid(conn_or_curs=connection)
            self._local.connection = connection
        return self._local.connection


def beside(product: ASGIApp, raw: Mapping[str, ASGIApp]) -> ASGIApp:
    """`raw` at its paths, and the product at every other."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await raw.get(scope.get("path", ""), product)(scope, receive, send)

    return app


_HAS = {
    Role.CLINICIAN: "actors",
    Role.PATIENT: "patients",
    Role.SERVICE_OWNER: "sources",
    Role.DEVICE_MANAGER: "devices",
}


class OneToken:
    """Takes one token; what is measured is behind it. A role and what it has may follow: `.patient.p7`."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def principal(self, token: str) -> Principal | None:
        """See `web.authentication.bearer.Authenticator`."""
        secret, _, whose = token.partition(".")
        if not secrets.compare_digest(secret, self._token):
            return None
        name, _, value = whose.partition(".")
        role = Role(name or Role.ADMIN)
        given: dict[str, Any] = {_HAS[role]: (value,)} if role in _HAS else {}
        return Principal(id="bench", roles=frozenset({role}), **given)


def main() -> None:
    """Serve until SIGTERM."""
    url, token, *record = sys.argv[1:]
    settings = WebSettings(reading_threads=THREADS)
    broker = IngestSettings(bootstrap_servers=tuple(record[:1]) or ("127.0.0.1:1",))
    with (
        closing(Database(url, READER, size=THREADS)) as database,
        closing(Publisher(broker, linger_ms=0)) as publisher,
        listen("127.0.0.1", 0) as listener,
    ):
        recording = RecordingSettings(topic=record[1]) if record else None
        product = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            settings,
            authentication=Authentication([OneToken(token)]),
            recorder=(
                None
                if recording is None
                else AccessRecorder(Recording(publisher, recording), Source(service="audit-trail"))
            ),
        )
        spare_the_collector(ANSWERS)  # as `audit-trail serve` does; it holds for both sides
        print(listener.getsockname()[1], flush=True)
        raw = {"/columns": Raw(url, from_columns), "/store": Raw(url, from_store)}
        Server(beside(product, raw), graceful_seconds=5).run(sockets=[listener])


if __name__ == "__main__":
    main()
