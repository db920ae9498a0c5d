"""`audit-trail witness`: cosign the tree heads of other parties' logs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import ConfigurationError

_MOST_LOGS_BYTES = 1 << 20


def witness(
    data: Annotated[
        Path,
        typer.Option(
            help="The file with the heads that were cosigned. It is created; never restore an older copy."
        ),
    ],
    key: Annotated[Path, typer.Option(help="The key file that `audit-trail keys new --witness` wrote.")],
    log: Annotated[
        list[str],
        typer.Option(help="The public key (vkey) of a log, or @FILE with one a line; may be repeated."),
    ],
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8090,
) -> None:
    """Cosign tree heads that follow from those cosigned before, as C2SP tlog-witness says, until SIGTERM.

    It needs neither the database nor Kafka: another party than the log's operator should run it. /metrics, /livez and
    /readyz are at AUDIT_TRAIL_METRICS_PORT.
    """
    from audit_trail.runtime import stop_deadline
    from audit_trail.runtime.signals import on_stop
    from audit_trail.runtime.start import long_running
    from audit_trail.witness_health import WitnessHealth, require_answer
    from event_store.signing import read_key_file
    from event_store.witness.cosigner import Witness, read_keys, read_logs
    from event_store.witness.metrics import WitnessMetrics
    from event_store.witness.store import WitnessStore
    from web.http import server
    from web.http.listening_socket import connectable, listen
    from web.witness import create_witness_app

    cosigner = Witness(WitnessStore(data), read_keys(read_key_file(key)), read_logs(_log_lines(log)))
    _, monitor = long_running("witness")
    on_stop(lambda: None)  # uvicorn has its own handlers, and raises the signal again once it has stopped
    with listen(host, port, "--port") as listener:
        address, bound = listener.getsockname()[:2]
        for verifier in cosigner.verifiers:
            place = f"[{address}]" if ":" in address else address
            typer.echo(f"{verifier.encode()} cosigns at http://{place}:{bound}")
        health = WitnessHealth((cosigner.check, partial(require_answer, connectable(address), bound)))
        monitor.watch(health.problems)
        app = create_witness_app(cosigner, WitnessMetrics(cosigner.sizes()))
        server.Server(app, on_signal=stop_deadline.start).run(sockets=[listener])


def _log_lines(values: Iterable[str]) -> Iterable[str]:
    from event_store.files.folders import read_file

    for value in values:
        if not value.startswith("@"):
            yield value
            continue
        try:
            text = read_file(Path(value[1:]), _MOST_LOGS_BYTES).decode()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"the file of logs {value[1:]} can't be read") from exc
        yield from text.splitlines()
