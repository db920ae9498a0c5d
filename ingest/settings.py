"""The settings of ingest. `audit_trail` fills them from its own settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from domain.recording_gap import Decision
from ingest.records.unread import KEY_AND_HEADERS_BYTES, Limits
from interop.systems import OWN, Systems

_PREFIX = "AUDIT_TRAIL_KAFKA_OFFSET_LOSS_"


class IngestSettings(Struct, frozen=True, kw_only=True):
    """The Kafka connection, what to read, and what to do about losses."""

    bootstrap_servers: tuple[str, ...]
    topics: tuple[str, ...] = ("audit.events",)
    group_id: str = "audit-trail"
    group_instance_id: str | None = None
    """A name that survives a restart (such as a pod's), so that a quick restart moves no partitions."""
    assignment: Literal["group", "static"] = "group"
    """`static`: this process reads all partitions. For a single process, or a broker with slow group joins."""
    max_poll_records: int = 5000
    max_message_bytes: int = 1 << 20
    systems: Systems = OWN
    """Which namespaces of ids are the same."""
    max_batch_bytes: int = 64 << 20
    """The maximum expanded size of a compressed batch; a larger one becomes one dead letter."""
    max_poll_bytes: int = 32 << 20
    """Bytes of records in one transaction; a larger record is processed alone."""
    max_letter_bytes: int = 2 << 20
    """A larger message is truncated in its dead letter."""
    max_fetch_bytes: int = 32 << 20
    """The maximum size of a broker's response; a larger batch comes alone."""
    on_offset_loss: Literal["stop", "continue"] = "stop"
    """`continue` is an operator's decision: go on after a loss, with a `recording.gap` event for each."""
    offset_loss_accepted_by: str = ""
    offset_loss_reason: str = ""
    """Who decided that, and why. `continue` needs both."""
    create_topics: bool = False
    partitions: int = 4
    """Partitions of a topic that `create_topics` creates."""
    refresh_seconds: float = 5.0
    """How often to check for new partitions and recreated topics."""
    watch_seconds: float = 5.0
    """How often the watchdog compares the broker's view with the state of this process."""
    stall_seconds: float = 30.0
    """How long partitions may make no progress without a reason before the Kafka client is replaced."""
    publish_timeout_seconds: float = 30.0
    client: Mapping[str, Any] = field(default_factory=dict)
    """Options for every Kafka client: `security_protocol`, `ssl_*`, `sasl_*`."""

    def decision(self) -> Decision | None:
        """The operator's advance acceptance of losses; None without one.

        Raises `ConfigurationError` for `continue` without a name or a reason.
        """
        if self.on_offset_loss == "stop":
            return None
        settings = (f"{_PREFIX}ACCEPTED_BY", f"{_PREFIX}REASON")
        return Decision.of(self.offset_loss_accepted_by, self.offset_loss_reason, settings=settings)

    @property
    def limits(self) -> Limits:
        """The limits for reading Kafka. A valid message is never truncated, whatever the limit for dead letters is."""
        whole = max(self.max_letter_bytes, self.max_message_bytes)
        return Limits(self.max_batch_bytes, whole + KEY_AND_HEADERS_BYTES, self.max_poll_bytes)

    def client_options(self) -> dict[str, Any]:
        """The common options of consumer, producer and admin client."""
        return {"bootstrap_servers": list(self.bootstrap_servers), "client_id": "audit-trail", **self.client}
