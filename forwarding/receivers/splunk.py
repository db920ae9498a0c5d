"""The HTTP Event Collector (HEC) of Splunk.

A status of 200 says that Splunk has taken the events. With indexer acknowledgement it also says, some seconds later,
when they are indexed; until then nothing counts as sent.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from domain.errors import UnavailableError
from event_store.outgoing_http import Answer
from forwarding.bodies import BODIES, JSON_BODIES
from forwarding.errors import ReceiverRefusesError, RecordsRefusedError
from forwarding.receivers.host import host_name
from forwarding.receivers.http import HttpReceiver
from forwarding.receivers.secrets import read_secret
from forwarding.records import Encoded, Record
from forwarding.settings import Splunk

_EVENTS, _ACKNOWLEDGEMENTS = "services/collector/event", "services/collector/ack"
_PAUSES = (0.25, 2.0)
"""First and longest pause between two questions about an acknowledgement."""
_REFUSES_CLIENT = {
    1: "the token is disabled",
    2: "it needs a token",
    3: "the token is invalid",
    4: "the token is invalid",
    7: "the index is unknown, or the token may not write to it",
    10: "the token needs acknowledge = true",
    11: "it refuses the channel",
    14: "acknowledgement is disabled for this token",
    16: "the token is in the wrong place",
}
"""The codes of answers that are about this client: "Troubleshoot HTTP Event Collector" of Splunk's documentation."""


class HttpEventCollector(HttpReceiver):
    """One collector. `settings.url` is its base, such as https://splunk.example:8088."""

    def __init__(self, settings: Splunk, field: str) -> None:
        """Raises `ConfigurationError`."""
        super().__init__(settings, field, "splunk")
        self._settings = settings
        self._host = host_name()
        token = read_secret(settings.token_file, f"{field}.token_file")
        # One channel for each process: acknowledgements belong to a channel.
        self._channel = str(uuid.uuid4())
        self._headers = {
            "Authorization": f"Splunk {token}",
            "Content-Type": "application/json",
            "X-Splunk-Request-Channel": self._channel,
        }

    def encode(self, record: Record) -> Encoded:
        """One event with its metadata. The place in the sequence is indexed beside it."""
        settings, leaf = self._settings, record.leaf
        body = BODIES[settings.body](record)
        event = msgspec.Raw(body) if settings.body in JSON_BODIES else body.decode()
        fields: dict[str, object] = {
            "audit_trail_follower": record.follower,
            "audit_trail_position": leaf.position,
        }
        if leaf.previous_position is not None:
            fields["audit_trail_previous_position"] = leaf.previous_position
        metadata: dict[str, object] = {
            "time": round(record.recorded.event.occurred_at.timestamp(), 3),
            "host": self._host,
            "source": settings.source,
            "sourcetype": settings.sourcetype,
            "event": event,
            "fields": fields,
        }
        if settings.index is not None:
            metadata["index"] = settings.index
        return Encoded(leaf.position, msgspec.json.encode(metadata))

    def send(self, records: Sequence[Encoded]) -> str:
        """POST the events, one after the other in one request."""
        body = b"".join(each.data for each in records)
        answer = self.post(self.target.under(_EVENTS), body, self._headers)
        said = _decoded(answer)
        if answer.status >= 400:
            self._refuse(answer, said)
        self.require_success(answer)
        if not self._settings.acknowledge:
            return f"it answered {answer.status}"
        id = said.get("ackId")
        if not isinstance(id, int):
            raise ReceiverRefusesError(
                f"{self.where} gave no number to ask for: enable indexer acknowledgement for the token"
            )
        return self._await_acknowledgement(id)

    def _await_acknowledgement(self, id: int) -> str:
        target = self.target.under(f"{_ACKNOWLEDGEMENTS}?channel={self._channel}")
        question = msgspec.json.encode({"acks": [id]})
        began, pause = time.monotonic(), _PAUSES[0]
        while (waited := time.monotonic() - began) < self._settings.acknowledge_seconds:
            answer = self.post(target, question, self._headers)
            self.require_success(answer)
            acknowledged = _decoded(answer).get("acks")
            if isinstance(acknowledged, dict) and acknowledged.get(str(id)) is True:
                return f"it has indexed everything, after {waited:.1f} s"
            time.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])
        raise UnavailableError(
            f"{self.where} did not acknowledge within {self._settings.acknowledge_seconds:g} s: it indexes slowly, or a"
            " load balancer sends the questions to another node"
        )

    def _refuse(self, answer: Answer, said: dict[str, Any]) -> None:
        """Raise what HEC's code means where the status alone would mislead."""
        code = said.get("code")
        if not isinstance(code, int) or not 0 <= code < 1000:
            return
        if code in _REFUSES_CLIENT:
            raise ReceiverRefusesError(f"{self.where}: {_REFUSES_CLIENT[code]} (code {code})")
        if answer.status == 400:
            raise RecordsRefusedError(f"{self.where} refuses the record (code {code})")


def _decoded(answer: Answer) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
