"""`python -m benchmarks [copy library projection verify rebuild lag notices graphql | profile]`.

`scale-fill FOLDER` makes long trails that stay in a folder, and `scale FOLDER` measures them: see `benchmarks.scale`.
`dashboard FOLDER` makes such trails for the pages of the dashboard, and measures those: see `benchmarks.dashboard`.
`publisher` measures what a durable call of the publishing client costs: see `benchmarks.publisher`.
`detection` measures precision, recall and cost of the shipped rules: see `benchmarks.detection`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

from audit_trail.runtime.garbage_collection import spare_the_collector
from benchmarks import dashboard, detection, publisher, scale, scale_fill
from benchmarks.corpus import make_corpus
from benchmarks.graphql import graphql_against
from benchmarks.ingest import ingest_against
from benchmarks.lag import lag_while_rebuilding
from benchmarks.notices import notices_in_time
from benchmarks.profile import profile
from benchmarks.projection import projection_against
from benchmarks.rebuild import rebuild_against
from benchmarks.report import Result, as_text, machine, write_json
from benchmarks.servers import Bench, servers
from benchmarks.verify import verify_against

NAMES = {
    "copy": "ingest against raw COPY",
    "library": "ingest against the library's own PostgreSQL recorder",
    "projection": "live projection against the library's runner; with it, the disk that all takes",
    "verify": "audit-trail verify against hashing the same bytes alone",
    "rebuild": "a rebuild of all read models against raw COPY of their rows and the making of their indexes",
    "lag": "how far behind the read models are while all of them are rebuilt under steady appends",
    "notices": "from the append of the event that completes an alert until a webhook has the notice",
    "graphql": "a page over HTTP against the same rows by hand, and a long trail against a short one",
    "profile": "no ratio: where each microsecond of ingest goes",
}


_ONE_AFTER_THE_OTHER: dict[str, Callable[[Bench], Iterable[Result]]] = {
    "projection": projection_against,
    "verify": verify_against,
    "rebuild": rebuild_against,
    "lag": lag_while_rebuilding,
    "notices": notices_in_time,
    "graphql": graphql_against,
}


def main() -> int:
    """Measure, print, and write JSON where asked."""
    apart: dict[str, Callable[[Sequence[str]], object]] = {
        "scale": scale.main,
        "scale-fill": scale_fill.main,
        "dashboard": dashboard.main,
        "publisher": publisher.main,
        "detection": detection.main,
    }
    if len(sys.argv) > 1 and sys.argv[1] in apart:
        apart[sys.argv[1]](sys.argv[2:])
        return 0
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    names = arguments.names or [
        "copy",
        "library",
        "projection",
        "verify",
        "rebuild",
        "lag",
        "notices",
        "graphql",
    ]
    facts = machine("")
    results: list[Result] = []
    print(f"Making {arguments.events:,} events ...", flush=True)
    corpus = make_corpus(arguments.events)
    spare_the_collector()  # as `audit-trail ingest` and `audit-trail project` do; it holds for both sides
    with servers(corpus, arguments.events, arguments.runs, arguments.broker) as bench:
        facts |= {
            "broker": bench.broker_name,
            "events": f"{bench.events:,} of {corpus.size / bench.events:.0f} bytes on average",
        }
        if {"copy", "library"} & set(names):
            results += ingest_against(bench, names)
        for name, measure in _ONE_AFTER_THE_OTHER.items():
            if name in names:
                results += measure(bench)
        if results:
            print(as_text(facts, results), flush=True)
        if "profile" in names:
            print(profile(bench))
    if not arguments.names:
        detection.main([])
    if arguments.json:
        write_json(arguments.json, facts, results)
    return 0


def _arguments() -> argparse.Namespace:
    described = "; ".join(f"{name}: {text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=f"{__package__}: {described}")
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], help="default: all but profile, and detection"
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in turns; the median counts")
    parser.add_argument("--broker", choices=("auto", "kafka", "embedded"), default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there too")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
