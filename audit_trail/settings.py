"""Every setting, declared once: name, type, default and help. The settings page is generated from this class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from audit_trail.environment import FILE_VARIABLE, PREFIX
from audit_trail.secret_files import file_variable, secrets_in_files
from audit_trail.setting_values import (
    List,
    Networks,
    OptionalTopic,
    Origins,
    PolicyFile,
    RoleMap,
    SecretUrl,
    Servers,
    Topics,
    VerifierKeys,
    Witnesses,
    did_you_mean,
    explained,
)
from audit_trail.settings_file import values_of
from domain.errors import ConfigurationError


class Settings(BaseSettings):
    """All settings. A variable takes precedence over the file, and the file over the default."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL, as a URL or key=value pairs. `demo` and `up` start their own when it is unset.",
    )
    read_database_url: SecretStr | None = Field(
        None, description="A read replica for the queries of the API. The database itself when it is unset."
    )
    database_pool_size: int = Field(8, ge=1, le=100, description="Most connections that one process opens.")
    statement_timeout_ms: int = Field(
        15_000,
        ge=0,
        description="How long one query of the API may take in the database, in milliseconds; 0 is no limit.",
    )
    database_silence_seconds: float = Field(
        20.0,
        ge=1,
        le=3600,
        description="How long a call to the database may go without an answer before its connection is given up and the"
        " work retried; a statement that the database says is running may take longer where that is normal.",
    )
    kafka_bootstrap_servers: Servers = Field(
        (), description="host:port of the brokers. `demo` and `up` start their own when it is unset."
    )
    kafka_topics: Topics = Field(
        ("audit.events",), description="The topics that ingest reads; POST and `publish` write to the first."
    )
    kafka_group_id: str = Field("audit-trail", min_length=1, description="The consumer group of ingest.")
    kafka_group_instance_id: str | None = Field(
        None,
        description="A name of this process that outlives its restart: a quick restart then moves no partitions.",
    )
    kafka_assignment: Literal["group", "static"] = Field(
        "group",
        description="`group`: ingest processes share the partitions. `static`: this one process reads them all.",
    )
    kafka_max_poll_records: int = Field(5000, ge=1, le=50_000, description="Most records in one transaction.")
    kafka_max_poll_bytes: int = Field(
        32 << 20, ge=1 << 20, le=1 << 30, description="Most bytes of messages in one transaction of ingest."
    )
    kafka_max_batch_bytes: int = Field(
        64 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="What one compressed batch of Kafka may expand to; a larger one becomes one dead letter.",
    )
    kafka_max_fetch_bytes: int = Field(
        32 << 20,
        ge=64 << 10,
        le=1 << 30,
        description="Most bytes in one answer of a broker to ingest; a single larger batch still comes, alone.",
    )
    kafka_create_topics: bool = Field(False, description="Create missing topics.")
    kafka_partitions: int = Field(4, ge=1, le=1000, description="Partitions of a topic that is created.")
    kafka_on_offset_loss: Literal["stop", "continue"] = Field(
        "stop",
        description="When Kafka has lost records that were never read: `stop`, or `continue` behind the gap and record"
        " it in the log as `recording.gap`. `continue` needs the next two settings. It accepts no damaged batch: see"
        " `audit-trail offsets accept`.",
    )
    kafka_offset_loss_accepted_by: str = Field(
        "", max_length=256, description="Who decided to `continue` behind lost records; recorded in the log."
    )
    kafka_offset_loss_reason: str = Field(
        "", max_length=65536, description="Why `continue` was decided; recorded in the log."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="The protocol of connections to the brokers."
    )
    kafka_sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, ...")
    kafka_sasl_username: str | None = Field(None, description="The SASL user.")
    kafka_sasl_password: SecretStr | None = Field(None, description="The SASL password.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="CA certificates for the check of the brokers' certificates."
    )
    kafka_ssl_certfile: Path | None = Field(None, description="This client's certificate.")
    kafka_ssl_keyfile: Path | None = Field(None, description="This client's key.")
    max_message_bytes: int = Field(
        1 << 20,
        ge=1024,
        le=64 << 20,
        description="A larger message becomes a dead letter; POST refuses it.",
    )
    patient_systems: List = Field(
        (),
        description="Namespaces of ids, as `SYSTEM=NAME`: a FHIR server's address or the system of an identifier, and"
        " a short name for it. No name (`SYSTEM=`) is the trail's own namespace: its ids have no prefix.",
    )
    dead_letter_max_bytes: int | None = Field(
        None,
        ge=1024,
        le=128 << 20,
        description="The dead letter of a larger message keeps the first bytes, the size and the SHA-256."
        " Never less than max_message_bytes; twice that when it is unset.",
    )
    publish_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=300,
        description="How long publishing may take before POST answers 503 and `publish` gives up.",
    )
    log_key_file: Path | None = Field(
        None,
        description="The key file that signs tree heads, made by `audit-trail keys new`; for processes that append.",
    )
    log_key: SecretStr | None = Field(None, description="The text of that file, instead of a file.")
    log_vkeys: VerifierKeys = Field(
        (),
        description="The log's public keys, for processes that verify without the key file; the signing one first.",
    )
    heads_topic: OptionalTopic = Field(
        "audit.tree-heads",
        description="The Kafka topic that signed tree heads are published to; empty for none.",
    )
    heads_folder: Path | None = Field(
        None, description="A folder, best on another machine's disk, that signed tree heads are published to."
    )
    heads_webhook: SecretUrl = Field(None, description="A URL that signed tree heads are POSTed to.")
    heads_interval_seconds: float = Field(
        60.0, gt=0, le=86_400, description="How often the newest signed tree head is published."
    )
    witnesses: Witnesses = Field(
        (),
        description="Witnesses that cosign tree heads: `vkey URL`, several separated by commas.",
    )
    witness_policy: PolicyFile = Field(
        None,
        description="A file with the policy (C2SP tlog-policy) that says which witnesses a signed head needs for"
        " /log/checkpoint, proofs and evidence kits. Its witnesses with a URL cosign when `witnesses` is unset.",
    )
    verify_interval_seconds: float = Field(
        300.0, ge=0, le=86_400, description="How often the guard verifies new events; 0 is never."
    )
    verify_all_hours: float = Field(
        24.0, ge=0, description="How often the guard verifies the log from its first event; 0 is never."
    )
    sequence_lateness_seconds: float = Field(
        900.0,
        ge=1,
        le=2_592_000,
        description="For how long an event may be on its way after one with a higher number of the same instance; then"
        " the gap in the numbers is late.",
    )
    http_host: str = Field(
        "127.0.0.1",
        description="The address that the API listens on, without TLS: put that in front of it.",
    )
    http_port: int = Field(8000, ge=0, le=65535, description="The port of the API; 0 takes a free one.")
    http_root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="The path prefix by which a proxy gives clients the API, such as `/audit`. Links contain it. The"
        " proxy may pass it on or remove it.",
    )
    http_keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3600,
        description="How long an idle connection is kept: longer than the proxy in front of the API keeps it, or the"
        " proxy may send a request into a connection that is just being closed.",
    )
    reads_recorded: Literal["before", "after"] = Field(
        "before",
        description="When the access record of a read must be in Kafka: `before` the answer is sent, or `after` that.",
    )
    reads_unrecorded: Literal["refuse", "flag"] = Field(
        "refuse",
        description="What happens to a read whose access record can't be published: `refuse` it, or `flag` its answer.",
    )
    reads_record_seconds: float = Field(
        5.0, gt=0, le=60, description="How long an answer waits until its access record is published."
    )
    reads_waiting: int = Field(
        10_000, ge=100, le=1_000_000, description="Most access records that wait for Kafka in one process."
    )
    auth_issuers: List = Field(
        (),
        description="Issuers whose tokens are accepted: `ISSUER` (OIDC discovery finds its keys) or `ISSUER KEYS`,"
        " with the URL or the file of its JWK Set; several separated by commas.",
    )
    auth_audiences: List = Field(
        ("audit-trail",), description="Accepted audiences: a token must name one of them (`aud`)."
    )
    auth_roles_claim: str = Field(
        "roles",
        description="The claim with the roles; a path such as `realm_access.roles` names a claim within a claim.",
    )
    auth_role_map: RoleMap = Field(
        (), description="The issuer's names of roles: `NAME=ROLE`, separated by commas; by default, ours."
    )
    auth_patient_claim: str = Field(
        "patient", description="The claim with the ids of a patient's own record."
    )
    auth_sources_claim: str = Field(
        "sources", description="The claim with the services that the principal owns."
    )
    auth_devices_claim: str = Field(
        "devices", description="The claim with the devices in the principal's care."
    )
    auth_actor_claims: List = Field(
        ("sub", "fhirUser"),
        description="The claims with the ids under which events name the principal as the actor.",
    )
    auth_name_claim: str = Field("name", description="The claim with the principal's name.")
    auth_purpose_claim: str = Field(
        "purpose_of_use",
        description="The claim with the purposes of use, as IHE IUA has them: `extensions.ihe_iua.purpose_of_use`.",
    )
    api_tokens_file: Path | None = Field(
        None, description="The file of the API tokens of machines, which `audit-trail tokens` writes."
    )
    public_log: bool = Field(
        False,
        description="Whether /log answers without a token: it holds no personal data, and anyone may verify.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of the proxies whose X-Forwarded-For names the client's address.",
    )
    requests_per_minute: int = Field(
        60_000, ge=1, description="Requests of one principal a minute, on average; more are answered 429."
    )
    requests_at_once: int = Field(
        2000, ge=1, description="How many requests of one principal may come at once before that."
    )
    introspection: bool = Field(
        False,
        description="Whether GraphQL shows its schema, also in suggestions. On in `demo` and `up`, for GraphiQL.",
    )
    pages: bool = Field(
        False,
        description="Whether GraphiQL (/graphql) and Swagger UI (/docs) are served. On in `demo` and `up`.",
    )
    dashboard_issuer: str | None = Field(
        None,
        description="The issuer of `AUDIT_TRAIL_AUTH_ISSUERS` at which people sign in to the dashboard, by"
        " OpenID Connect. Without it there is no dashboard.",
    )
    dashboard_client_id: str = Field(
        "audit-trail-dashboard", min_length=1, description="The dashboard's client id at that issuer."
    )
    dashboard_client_secret: SecretStr | None = Field(
        None, description="The client's secret; a public client, which PKCE protects, has none."
    )
    dashboard_metadata_url: str | None = Field(
        None, description="The address of the issuer's discovery document, if it is not the usual one."
    )
    dashboard_scope: str = Field(
        "openid profile", min_length=6, description="The scopes that the dashboard asks the issuer for."
    )
    dashboard_session_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="A secret of at least 32 characters that encrypts the cookies of sessions and the tokens of shared"
        " links; all `serve` processes need the same. Unset: a random one, so that sessions and links end with the"
        " process.",
    )
    dashboard_idle_minutes: float = Field(
        30.0, ge=1, le=1440, description="Minutes after which an unused session of the dashboard ends."
    )
    dashboard_session_hours: float = Field(
        10.0, gt=0, le=168, description="Hours after which a session of the dashboard ends in any case."
    )
    dashboard_link_days: int = Field(
        30,
        ge=0,
        le=30,
        description="The most days that a shared link of the dashboard lasts; it holds for links that were made"
        " before, too. 0: there are no links.",
    )
    development_issuer: Path | None = Field(
        None,
        description="The folder of the issuer of `up` and `demo`, at whose page anybody signs in as anybody. Never set"
        " it where real data is.",
    )
    trusted_documents: Path | None = Field(
        None,
        description="Documents that clients may name by hash: JSON that `graphql documents` printed, or a folder.",
    )
    trusted_documents_only: bool = Field(
        False, description="Whether GraphQL executes trusted documents alone."
    )
    allowed_origins: Origins = Field(
        (),
        description="Origins besides the API's own whose pages may use the API from a browser: open WebSockets, send"
        " requests, and read the answers. Each as https://host or https://host:port.",
    )
    max_page_size: int = Field(100, ge=1, le=1000, description="Most events on one page of an answer.")
    max_batch: int = Field(5, ge=1, le=100, description="Most operations in one batch over HTTP.")
    queries_via_get: bool = Field(
        True,
        description="Whether GraphQL answers queries by GET; their variables are in the logs of proxies then.",
    )
    max_cost: int = Field(
        50_000,
        ge=100,
        description="What a GraphQL request may cost by the estimate that each answer reports in `extensions.cost`.",
    )
    max_unindexed_days: int = Field(
        31,
        ge=0,
        description="The longest time range of a filter that has no index and matches few events; 0: any.",
    )
    max_subscriptions: int = Field(
        200, ge=1, le=10_000, description="GraphQL subscriptions at once in one process of the API."
    )
    max_subscriptions_per_principal: int = Field(
        50, ge=1, le=10_000, description="GraphQL subscriptions at once of one client, in one process."
    )
    max_exports: int = Field(
        2,
        ge=1,
        le=20,
        description="Most exports over HTTP at once, each with a connection of its own; one more is answered 503.",
    )
    export_folder: Path | None = Field(
        None,
        description="The folder of the exports that people start in the dashboard; all `serve` processes may share one."
        " Unset: a temporary folder of the process, which ends with it.",
    )
    export_keep_hours: float = Field(
        24.0,
        ge=0.001,
        le=8760,
        description="How long the file of such an export is kept, unless it is deleted.",
    )
    export_max_bytes: int = Field(
        10 << 30, ge=1 << 20, description="What all files of such exports together may occupy."
    )
    forwarding_file: Path | None = Field(
        None,
        description="The TOML file of the followers that `forward` runs: which events go where. See"
        " docs/how-to/forward.md.",
    )
    detection_rules: Path | None = Field(
        None,
        description="A folder with rules of your own (Sigma, YAML), and perhaps `switched_off.yaml`. `project` reads it"
        " again when it changes. See docs/how-to/detect.md.",
    )
    projection_batch: int = Field(
        2000, ge=1, le=10_000, description="Most events that a projector applies in one transaction."
    )
    watch_file: Path | None = Field(
        None,
        description="The file (YAML) of the targets that `watch` checks. `demo` and `up` write their own when it is"
        " unset.",
    )
    watch_checks_at_once: int = Field(
        32, ge=1, le=200, description="Most checks of targets at once, each in a thread of its own."
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="/metrics, /livez and /readyz of `ingest`, `project`, `guard`, `watch`, `forward` and `witness` on"
        " this port; 0 is none. `serve` has its own on its port.",
    )
    metrics_host: str = Field("127.0.0.1", description="The address of metrics_port.")
    tracing_endpoint: SecretUrl = Field(
        None,
        description="Where traces are sent by OTLP over HTTP, such as http://collector:4318. Unset: nothing is traced."
        " Needs the extra `tracing`.",
    )
    tracing_sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="The share of traces that is kept. A request with a trace context keeps the decision in that.",
    )
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables and the files of secrets first, then the file that `AUDIT_TRAIL_SETTINGS_FILE` names."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get(FILE_VARIABLE) or None
        toml = () if file is None else (InitSettingsSource(settings_cls, values_of(Path(file))),)
        secrets = InitSettingsSource(settings_cls, secrets_in_files(secret_settings()))
        return (init_settings, env_settings, secrets, *toml)

    def require_database_url(self) -> str:
        """The database's URL. Raises `ConfigurationError` when it is unset."""
        if self.database_url is None:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_URL is not set: give the URL of the PostgreSQL database"
            )
        return self.database_url.get_secret_value()

    def require_bootstrap_servers(self) -> tuple[str, ...]:
        """The brokers. Raises `ConfigurationError` when they are unset."""
        if not self.kafka_bootstrap_servers:
            raise ConfigurationError(
                f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS is not set: give host:port of the Kafka brokers"
            )
        return self.kafka_bootstrap_servers


def secret_settings() -> tuple[str, ...]:
    """The secrets that can be in a file of their own. `log_key_file` is a setting itself."""
    fields = Settings.model_fields
    return tuple(
        name
        for name, field in fields.items()
        if field.annotation == SecretStr | None and f"{name}_file" not in fields
    )


def load(**overrides: Any) -> Settings:
    """The settings of this process. Raises `ConfigurationError`, which names the variable and never a secret."""
    files = {FILE_VARIABLE, *map(file_variable, secret_settings())}
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name not in files
        and name.removeprefix(PREFIX).lower() not in Settings.model_fields
        and not name.startswith(f"{PREFIX}TEST_")
    )  # fmt: skip
    if unknown:
        known = {*(PREFIX + name.upper() for name in Settings.model_fields), *files}
        raise ConfigurationError(
            f"{unknown[0]} is no setting: see `audit-trail settings`{did_you_mean(unknown[0], known)}"
        )
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise ConfigurationError(_refusal(first)) from None  # pydantic's text quotes values
    except ValueError as exc:
        raise ConfigurationError(f"{FILE_VARIABLE}: {exc}") from exc


def _refusal(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        similar = did_you_mean(name.lower(), Settings.model_fields)
        return f"{FILE_VARIABLE}: {name} is no setting: see `audit-trail settings`{similar}"
    return f"{PREFIX}{name.upper()}: {explained(error)}"
