"""What the file of followers says, with the help of each field: the reference page is made from it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from domain.access.principal import Role
from domain.alert_level import Level

_Text = Annotated[str, Meta(min_length=1, max_length=256)]
_Path = Annotated[str, Meta(min_length=1, max_length=4096)]
_Url = Annotated[str, Meta(min_length=1, max_length=2048)]
_Ids = tuple[_Text, ...]
ADDRESS = re.compile(r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}\Z")
_Address = Annotated[str, Meta(pattern=ADDRESS.pattern)]
_Authorization = Annotated[
    _Path | None, Meta(description="The file with the value of the header `Authorization`.")
]


class _Tls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver behind TLS."""

    timeout_seconds: Annotated[
        float, Meta(ge=1, le=300, description="How long one request may take, from the name look-up on.")
    ] = 15.0
    ca_file: Annotated[
        _Path | None,
        Meta(description="The only authorities that are trusted, in PEM; without it, those of the system."),
    ] = None
    cert_file: Annotated[
        _Path | None, Meta(description="This client's certificate in PEM, for mutual TLS.")
    ] = None
    key_file: Annotated[_Path | None, Meta(description="The key of that certificate, in PEM.")] = None


class Syslog(_Tls, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A syslog server: messages of RFC 5424 over TLS (RFC 5425)."""

    host: Annotated[_Text, Meta(description="The server; its certificate must have this name or address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 6514
    body: Annotated[
        Literal["json", "cef", "dicom"],
        Meta(description="What a message holds: the event as JSON, a CEF line, or a DICOM audit message."),
    ] = "json"
    confirm: Annotated[
        Literal["close_notify", "close", "tcp"],
        Meta(
            description="What shows that the server has a request: see [syslog](../how-to/forward.md#syslog)."
        ),
    ] = "close_notify"
    facility: Annotated[int, Meta(ge=0, le=23, description="The facility of the messages.")] = 10
    message_id: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]{1,32}\Z")] | None,
        Meta(description="The MSGID; by default the event's type, and `DICOM+RFC3881` for DICOM."),
    ] = None
    enterprise_number: Annotated[
        int,
        Meta(ge=1, le=2**31 - 1, description="Your private enterprise number, for the structured data."),
    ] = 32473
    max_message_bytes: Annotated[
        int,
        Meta(
            ge=2048, le=16 << 20, description="A longer message stops the follower: the server would cut it."
        ),
    ] = 65536


class _Http(_Tls, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receiver over HTTP."""

    url: Annotated[_Url | None, Meta(description="The address.")] = None
    url_file: Annotated[
        _Path | None, Meta(description="The file with the address, instead of `url`, where that is a secret.")
    ] = None


class Webhook(_Http, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed webhook: https://www.standardwebhooks.com."""

    secret_file: Annotated[
        _Path,
        Meta(description="The file with the key of the signature: `whsec_` and 24 to 64 bytes in base64."),
    ]
    previous_secret_file: Annotated[
        _Path | None,
        Meta(description="The key before it: requests are signed with both, while receivers change."),
    ] = None
    authorization_file: _Authorization = None
    body: Annotated[Literal["json", "ocsf"], Meta(description="What a request holds.")] = "json"


class Splunk(_Http, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP Event Collector of Splunk. The address is its base, such as `https://splunk.example:8088`."""

    token_file: Annotated[_Path, Meta(description="The file with the token of the collector.")]
    body: Annotated[Literal["json", "cef", "ocsf"], Meta(description="What an event holds.")] = "json"
    index: Annotated[_Text | None, Meta(description="The index; by default that of the token.")] = None
    source: Annotated[_Text, Meta(description="The source of the events.")] = "audit-trail"
    sourcetype: Annotated[_Text, Meta(description="The source type of the events.")] = "_json"
    acknowledge: Annotated[
        bool,
        Meta(
            description="Wait until Splunk has indexed the events. The token needs indexer acknowledgement."
        ),
    ] = False
    acknowledge_seconds: Annotated[float, Meta(ge=1, le=600, description="How long to wait for that.")] = (
        120.0
    )


class Otlp(_Http, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logs of OpenTelemetry over HTTP. The address is the whole one: `https://collector.example:4318/v1/logs`."""

    authorization_file: _Authorization = None


_DashboardUrl = Annotated[
    _Url | None,
    Meta(description="The address of the dashboard, for links: `https://audit.hospital.example`."),
]


class Smtp(_Tls, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail server (SMTP): one message in plain words for each event."""

    host: Annotated[_Text, Meta(description="The server; its certificate must have this name or address.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 587
    tls: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(
            description="How the connection is encrypted: from `STARTTLS` on, from the beginning (port 465), or not at"
            " all, which is allowed only within one machine."
        ),
    ] = "starttls"
    sender: Annotated[_Address, Meta(description="The address that messages come from.")]
    recipients: Annotated[
        tuple[_Address, ...],
        Meta(max_length=50, description="The addresses that get each message."),
    ] = ()
    to_employee: Annotated[
        bool,
        Meta(
            description="Instead of `recipients`: each event `employee.asked` goes to the person who is asked, at the"
            " address in the [table of staff](context.md#staff)."
        ),
    ] = False
    user: Annotated[_Text | None, Meta(description="The login; without it, none is tried.")] = None
    password_file: Annotated[_Path | None, Meta(description="The file with its password.")] = None
    dashboard_url: _DashboardUrl = None


class Alertmanager(_Http, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alertmanager of Prometheus. The address is its base, such as `https://alertmanager.example:9093`."""

    authorization_file: _Authorization = None
    active_seconds: Annotated[
        float,
        Meta(
            ge=60,
            le=2_592_000,
            description="How long an alert is active there. Then Alertmanager calls it resolved.",
        ),
    ] = 86_400.0
    group_labels: Annotated[
        bool,
        Meta(
            description="Whether labels name what the alert is about, such as `group_actor_id`: personal data, which"
            " routes and silences can use."
        ),
    ] = False
    dashboard_url: _DashboardUrl = None


class Kafka(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic of the trail's own Kafka."""

    topic: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._-]{1,249}\Z", description="The topic; none that the trail itself uses."),
    ]
    body: Annotated[Literal["json", "ocsf"], Meta(description="What a message holds.")] = "json"


HttpSettings = Webhook | Splunk | Otlp | Alertmanager
TlsSettings = HttpSettings | Syslog | Smtp
ReceiverSettings = TlsSettings | Kafka
RECEIVERS: dict[str, type[Struct]] = {
    "syslog": Syslog,
    "webhook": Webhook,
    "splunk": Splunk,
    "otlp": Otlp,
    "kafka": Kafka,
    "smtp": Smtp,
    "alertmanager": Alertmanager,
}
"""By the name of the table in the file."""


class FollowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One follower."""

    decided_by: Annotated[
        _Text, Meta(description="Who decided on this configuration; the trail keeps it with each change.")
    ]
    reason: Annotated[str, Meta(min_length=1, max_length=4096, description="Why; the trail keeps it too.")]
    start: Annotated[
        Literal["now", "beginning"],
        Meta(description="Where a new follower begins. It has no effect on one that has begun."),
    ]
    roles: Annotated[
        tuple[Role, ...],
        Meta(
            min_length=1,
            description="What it may send: what the API shows to these [roles](access.md), of those that see events.",
        ),
    ]
    sources: Annotated[_Ids, Meta(description="The services of the role `service_owner`.")] = ()
    devices: Annotated[_Ids, Meta(description="The devices of the role `device_manager`.")] = ()
    patients: Annotated[_Ids, Meta(description="The records of the role `patient`.")] = ()
    actors: Annotated[_Ids, Meta(description="The actor ids of the role `clinician`.")] = ()
    filter: Annotated[
        dict[str, Any],
        Meta(
            description="Which events: [the conditions of the REST API](filters.md), with `and`, `or`, `not`."
        ),
    ] = {}
    least_level: Annotated[
        Level | None,
        Meta(description="Of alerts (`alert.raised`), only those of this level and above."),
    ] = None
    on_refusal: Annotated[
        Literal["stop", "keep"],
        Meta(
            description="What happens to a record that the receiver refuses for good: the follower stops at it, or"
            " [keeps it for an operator](../how-to/notices.md#what-the-receiver-refuses) and goes on."
        ),
    ] = "stop"
    batch: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(
            description="Most records of one request; by default 5,000 for syslog, 1 for mail, 200 for others."
        ),
    ] = None
    syslog: Syslog | None = None
    webhook: Webhook | None = None
    splunk: Splunk | None = None
    otlp: Otlp | None = None
    kafka: Kafka | None = None
    smtp: Smtp | None = None
    alertmanager: Alertmanager | None = None

    @property
    def most(self) -> int:
        """Most records of one request. A message that was sent counts at once, so that few are ever sent again."""
        return self.batch or (5000 if self.syslog is not None else 1 if self.smtp is not None else 200)

    @property
    def receivers(self) -> list[tuple[str, ReceiverSettings]]:
        """The kinds of receivers that are given; a valid follower has one."""
        given = ((kind, getattr(self, kind)) for kind in RECEIVERS)
        return [(kind, each) for kind, each in given if each is not None]
