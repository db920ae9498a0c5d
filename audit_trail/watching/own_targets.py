"""What the watcher of `up` and `demo` watches: the stack itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from audit_trail.settings import Settings
from web.http.boot_id import HEADER

WATCH_FILE = "watch.yaml"
_HEAD = """\
# What `audit-trail watch` checks. `up` writes this file at each start: to watch more, copy it, and name the copy in
# AUDIT_TRAIL_WATCH_FILE.
defaults: {interval: 10s, timeout: 5s, down_after: 3, up_after: 2}
targets:
"""


def own_targets(url: str, ports: Mapping[str, int], settings: Settings) -> str:
    """The file. `url` is the API's address, `ports` has the metrics port of each other part, by its command."""
    pages = {
        command.split()[0]: f"http://127.0.0.1:{port}/readyz"
        for command, port in ports.items()
        if command != "watch"
    }
    targets: list[dict[str, object]] = [
        {"name": f"audit-trail-{part}", "http": {"url": page, "restart": {"header": HEADER}}}
        for part, page in (pages | {"serve": f"{url}/readyz"}).items()
    ]
    targets.append({"name": "postgresql", "postgresql": {}})
    targets.append({"name": "kafka", "kafka": {"topics": list(settings.kafka_topics)}})
    # One line of JSON is one line of YAML.
    return _HEAD + "".join(f"  - {json.dumps(each)}\n" for each in targets)
