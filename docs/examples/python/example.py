"""Pages through a patient's accesses, follows what comes, and says what went wrong.

AUDIT_TOKEN=... python example.py http://127.0.0.1:8000/graphql PATIENT [HOW_MANY_TO_FOLLOW]

It needs httpx, pydantic and websockets. The client is generated: ariadne-codegen client --config ariadne-codegen.toml
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing

import httpx
from audit_trail_client import Client, GraphQLClientError, GraphQLClientGraphQLMultiError
from audit_trail_client.exceptions import GraphQLClientHttpError
from websockets.exceptions import WebSocketException


async def show(client: Client, patient: str) -> int:
    """Print every access to a patient's data, newest first; the newest position, -1 when there is none."""
    newest, after = -1, None
    while True:
        found = (await client.patient_accesses(id=patient, first=2, after=after)).patient
        if found is None:
            print(f"no event names patient {patient}")
            return newest
        for event in found.timeline.nodes:
            newest = max(newest, event.position)
            print(f"{event.position} {event.type_} by {event.actor.name or event.actor.id or 'nobody known'}")
        if not found.timeline.page_info.has_next_page:
            return newest
        after = found.timeline.page_info.end_cursor


async def follow(client: Client, patient: str, after: int, count: int) -> None:
    """Print the next `count` events. When the connection breaks, go on after the last position that was seen."""
    left = count
    # Closed here: left to the garbage collector, its connection would be closed after the loop has ended.
    async with aclosing(client.events_of_patient(patient=patient, after=after)) as events:
        async for found in events:
            event = found.event_recorded
            print(f"new: {event.position} {event.type_} by {event.actor.id or 'nobody known'}", flush=True)
            left -= 1
            if left == 0:
                return


async def main(url: str, patient: str, count: int = 0) -> int:
    """The exit code."""
    headers = {"Authorization": f"Bearer {os.environ.get('AUDIT_TOKEN', '')}"}
    try:
        async with httpx.AsyncClient(headers=headers) as http, Client(
            url,
            http_client=http,
            ws_url=url.replace("http", "ws", 1),
            ws_headers=headers,
        ) as client:  # fmt: skip
            newest = await show(client, patient)
            if count:
                await follow(client, patient, newest, count)
    except GraphQLClientGraphQLMultiError as exc:
        first = exc.errors[0]
        print(f"refused ({(first.extensions or {}).get('code')}): {first.message}", file=sys.stderr)
    except GraphQLClientHttpError as exc:
        print(f"refused ({exc.status_code})", file=sys.stderr)
    except (GraphQLClientError, WebSocketException, httpx.HTTPError) as exc:
        print(f"failed: {exc}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: example.py URL PATIENT [COUNT], with AUDIT_TOKEN set")
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))))
