"""Whether a PostgreSQL server answers, within one deadline: for servers that are watched, also those of others.

The driver's blocking calls have no such limit: `connect_timeout` counts for each address, and a statement waits for
ever. So this uses the driver's non-blocking calls, and looks up names itself.
"""

from __future__ import annotations

import select
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2 import extensions

from domain.errors import ConfigurationError, UnavailableError
from event_store.connection_errors import connection_error
from event_store.outgoing_http import Deadline, look_up

_PORT = 5432
_MOST_READS = 200
"""A login and an answer take about ten. The driver keeps all that a server sends, so it must not send for ever."""


def reach_server(url: str, deadline: Deadline) -> None:
    """Connect to the database at `url`, and return when it has answered a statement.

    Raises `UnavailableError` when it does not answer by `deadline`, and `ConfigurationError` when it refuses this login
    or the URL is wrong. No message contains the URL.
    """
    try:
        with closing(psycopg2.connect(_with_addresses(url, deadline), async_=True)) as connection:
            _finish(connection, deadline)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                _finish(connection, deadline)
    except psycopg2.ProgrammingError:
        # The driver's message quotes the URL, which may contain a password.
        raise ConfigurationError("the database URL can't be read: postgresql://user@host/name") from None
    except psycopg2.Error as exc:
        raise connection_error(str(exc)) from exc
    except TimeoutError as exc:
        raise UnavailableError(f"the database did not answer within {deadline.seconds:g} s") from exc
    except OSError as exc:
        raise UnavailableError("the name of the database's host can't be resolved") from exc


def _with_addresses(url: str, deadline: Deadline) -> str:
    """`url` with the addresses of its hosts, because the driver would wait for the name service without a limit."""
    given = extensions.parse_dsn(url)
    hosts = given.get("host", "").split(",")
    if "hostaddr" in given or not all(host and not host.startswith(("/", "@")) for host in hosts):
        return url
    addresses = [look_up(host, _PORT, deadline)[0][4][0] for host in hosts]
    return str(extensions.make_dsn(**given | {"hostaddr": ",".join(addresses)}))


def _finish(connection: Any, deadline: Deadline) -> None:
    """Return when the connection waits for nothing more. Raises `TimeoutError`, and `UnavailableError` for too much."""
    for _ in range(_MOST_READS):
        if (state := connection.poll()) == extensions.POLL_OK:
            return
        reading = [connection] if state == extensions.POLL_READ else []
        writing = [connection] if state == extensions.POLL_WRITE else []
        if not any(select.select(reading, writing, [], deadline.left())):
            raise TimeoutError
    raise UnavailableError("the server sends more than a database answers")
