"""``audit-trail-publisher``: look into a spool, decide on rejected events, and send what a service has left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from audit_trail_publisher.errors import ConfigurationError, PublisherError
from audit_trail_publisher.outbox.outbox import postgresql_tables
from audit_trail_publisher.relay.relay import Relay
from audit_trail_publisher.relay.spool_backlog import SpoolBacklog
from audit_trail_publisher.spool.spool import FILE, Spool
from audit_trail_publisher.transports.http import HttpTransport, token_from_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The exit code: 0 done, 1 not done, 2 wrong usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        found: int = given.run(given)
    except ConfigurationError as exc:
        parser.error(str(exc))
    except PublisherError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="audit-trail-publisher", description=(__doc__ or "").partition(": ")[2]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    status = commands.add_parser("status", help="how much waits, and how the last attempts ended")
    status.set_defaults(run=_status)
    rejected = commands.add_parser("rejected", help="the events that the trail rejected, and why")
    rejected.set_defaults(run=_rejected)
    rejected.add_argument("--bodies", action="store_true", help="with the events, which are personal data")
    rejected.add_argument("--limit", type=int, default=100, help="how many at the most")
    resend = commands.add_parser("resend", help="send rejected events again: after the trail was updated")
    resend.set_defaults(run=_resend)
    discard = commands.add_parser("discard", help="give a rejected event up; the decision is kept")
    discard.set_defaults(run=_discard)
    send = commands.add_parser("send", help="send what a service that is gone has left")
    send.set_defaults(run=_send)
    for command in (status, rejected, resend, discard, send):
        command.add_argument("spool", type=Path, help="the folder of the spool")
    resend.add_argument("event_ids", type=UUID, nargs="*", metavar="ID", help="an event id; all without one")
    discard.add_argument("event_id", type=UUID, metavar="ID", help="an event id")
    discard.add_argument("--by", required=True, help="who decided that")
    discard.add_argument("--reason", required=True, help="why")
    send.add_argument("--url", required=True, help="the trail's API")
    send.add_argument("--token-file", type=Path, help="a file with the bearer token")
    send.add_argument("--seconds", type=float, default=60.0, help="how long to try")

    tables = commands.add_parser("outbox-tables", help="the statements that make the outbox in PostgreSQL")
    tables.set_defaults(run=_tables)
    return parser


def _spool(given: argparse.Namespace) -> Spool:
    if not (given.spool / FILE).is_file():
        raise ConfigurationError(f"{given.spool} is no spool: it has no file {FILE}")
    return Spool(given.spool, max_bytes=0, sequence=False)


def _status(given: argparse.Namespace) -> int:
    spool = _spool(given)
    status = spool.status()
    lines = [
        f"waiting: {status.events} events, {status.bytes} bytes",
        f"oldest: {status.oldest_unsent_seconds:.0f} s",
        f"rejected: {status.rejected}",
        f"delivered: {status.delivered}",
    ]
    if status.last_success_at is not None:
        lines.append(f"last success: {status.last_success_at.isoformat(timespec='seconds')}")
    if status.last_error_at is not None:
        lines.append(f"last error: {status.last_error_at.isoformat(timespec='seconds')}: {status.last_error}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    spool.close()
    return 0


def _rejected(given: argparse.Namespace) -> int:
    spool = _spool(given)
    for event in spool.rejected(given.limit):
        why = f"{event.reason}: {event.field or 'the event'}: {event.message}"
        sys.stdout.write(
            f"{event.event_id} {event.type} {event.rejected_at.isoformat(timespec='seconds')} {why}\n"
        )
        if given.bodies:
            sys.stdout.write(event.body.decode() + "\n")
    spool.close()
    return 0


def _resend(given: argparse.Namespace) -> int:
    spool = _spool(given)
    sent = spool.resend(given.event_ids)
    spool.close()
    sys.stdout.write(f"{sent} events wait to be sent again\n")
    return 0 if sent or not given.event_ids else 1


def _discard(given: argparse.Namespace) -> int:
    spool = _spool(given)
    done = spool.discard(given.event_id, given.by, given.reason)
    spool.close()
    sys.stdout.write("discarded\n" if done else "no rejected event has this id\n")
    return 0 if done else 1


def _send(given: argparse.Namespace) -> int:
    spool = _spool(given)
    token = None if given.token_file is None else token_from_file(given.token_file)
    relay = Relay(SpoolBacklog(spool, lambda: None), HttpTransport(given.url, token))
    relay.start()
    relay.stop(given.seconds)
    left = spool.status().events
    spool.close()
    sys.stdout.write("everything is sent\n" if not left else f"{left} events still wait\n")
    return 0 if not left else 1


def _tables(_: argparse.Namespace) -> int:
    sys.stdout.write(postgresql_tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
